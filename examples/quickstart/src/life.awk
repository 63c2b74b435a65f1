# Conway's Game of Life on a plane without edges.
# In: lines of `.` and `O`. Out: the same lines and columns, `generations` later.
# A living cell with two or three living neighbours stays alive; an empty one
# with three comes to life.

{
    for (x = 1; x <= length($0); x++)
        if (substr($0, x, 1) == "O") alive[x, NR] = 1
    if (length($0) > width) width = length($0)
}

function step(    cell, at, dx, dy, neighbours, next_alive) {
    for (cell in alive) {
        split(cell, at, SUBSEP)
        for (dx = -1; dx <= 1; dx++)
            for (dy = -1; dy <= 1; dy++)
                if (dx || dy) neighbours[at[1] + dx, at[2] + dy]++
    }
    for (cell in neighbours)
        if (neighbours[cell] == 3 || neighbours[cell] == 2 && cell in alive) next_alive[cell] = 1
    for (cell in alive) delete alive[cell]
    for (cell in next_alive) alive[cell] = 1
}

# TODO: stop early when nothing changes any more.
END {
    for (n = 0; n < generations; n++) step()
    for (y = 1; y <= NR; y++) {
        line = ""
        for (x = 1; x <= width; x++) line = line ((x, y) in alive ? "O" : ".")
        print line
    }
}
