# The tests of a small app.
