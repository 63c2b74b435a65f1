#!/bin/sh
# Unpacks every pattern of a folder: unpack.sh FROM TO
set -eu

from=$1
to=$2

mkdir -p "$to"
for file in "$from"/*.rle; do
    awk -f "$(dirname "$0")/rle.awk" "$file" > "$to/$(basename "$file" .rle)"
done
