#!/bin/sh
# package_documents.sh PROGRAM FOLDER CHANGELOG DATE: puts the manual pages that trainer_documents (PROGRAM) writes, the
# completion and the changelogs, compressed, into FOLDER in the layout in which cmake/package.cmake installs them.
set -eu
program=$1 folder=$2 changelog=$3 date=$4
completion=$(dirname -- "$0")/../trainer/documents/completion.sh

rm -rf "$folder/man" "$folder/bash" "$folder/zsh"
mkdir -p "$folder/bash" "$folder/zsh"
"$program" "$folder/man" "$date"
cp "$completion" "$folder/bash/trainer"
cp "$completion" "$folder/zsh/_trainer"
gzip -9n "$folder"/man/*.1
gzip -9nc "$changelog" >"$folder/changelog.gz"
gzip -9nc "$folder/changelog.Debian" >"$folder/changelog.Debian.gz"
