#!/bin/sh
echo "executable is still executable"
