#!/bin/sh
# Makes one executable file out of life.awk: build.sh OUTPUT
set -eu

output=$1
source=$(dirname "$0")/life.awk

mkdir -p "$(dirname "$output")"
{
    echo '#!/bin/sh'
    echo '# life GENERATIONS < PATTERN: prints the pattern as it is that much later.'
    # A quote in the program would end the shell's string too early.
    printf "exec awk -v generations=\"\${1:-1}\" '"
    grep -v '^ *#' "$source" | sed "s/'/'\\\\''/g"
    echo "'"
} > "$output"
chmod +x "$output"
echo "$output: $(wc -c < "$output" | tr -d ' ') bytes"
