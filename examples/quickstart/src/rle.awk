# Unpacks a pattern: `b` is an empty cell, `o` a living one, `$` the end of a
# line, a number repeats what follows, `!` ends it. The header line gives the
# size; what is missing to the right and below is empty.

/^#/ { next }

/^x/ {
    gsub(/[^0-9,]/, "")
    split($0, size, ",")
    next
}

{
    for (i = 1; i <= length($0); i++) {
        c = substr($0, i, 1)
        if (c ~ /[0-9]/) { count = count c; continue }
        n = count == "" ? 1 : count + 0
        count = ""
        if (c == "b" || c == "o")
            while (n-- > 0) line = line (c == "o" ? "O" : ".")
        else if (c == "$")
            while (n-- > 0) finish()
        else if (c == "!") exit
    }
}

END {
    finish()
    while (lines < size[2] + 0) finish()
}

function finish() {
    while (length(line) < size[1] + 0) line = line "."
    print line
    line = ""
    lines++
}
