#!/bin/sh
# Checks that a glider is one column further right and one line further down
# after four generations.
set -eu

glider=build/patterns/glider
width=$(head -n 1 "$glider" | tr -d '\n' | wc -c)

# The pattern moved by hand: an empty line above, an empty column to the left.
expected=$(
    printf "%${width}s\n" '' | tr ' ' '.'
    sed '$d; s/^/./; s/.$//' "$glider"
)
[ "$(./build/life 4 < "$glider")" = "$expected" ]
echo "the glider flies:"
./build/life 16 < "$glider"
