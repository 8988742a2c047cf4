#!/usr/bin/env bash
# test_selection.sh: which tests scripts/test --only and --changed build and run, in a made-up tree.
. "$(dirname "$0")/../cli/check.sh"
root=$(cd "$(dirname "$0")/../.." && pwd)
tree=$OUT/tree
mkdir -p "$tree"/{scripts,tests/alpha,tests/beta,kernels/alpha}
cp "$root/scripts/test" "$tree/scripts/"
cp "$root/tests/spx_test.cmake" "$tree/tests/"
printf '#!/bin/sh\n' | tee "$tree/scripts/setup" >"$tree/scripts/lint"
chmod +x "$tree"/scripts/*
cat >"$tree/CMakePresets.json" <<'TXT'
{ "version": 5,
  "configurePresets": [{ "name": "release", "generator": "Ninja",
                         "binaryDir": "${sourceDir}/build/release" }],
  "buildPresets": [{ "name": "release", "configurePreset": "release" }],
  "testPresets": [{ "name": "release", "configurePreset": "release" }] }
TXT
cat >"$tree/CMakeLists.txt" <<'TXT'
cmake_minimum_required(VERSION 3.24)
project(made_up NONE)
enable_testing()
add_subdirectory(tests)
TXT
cat >"$tree/tests/CMakeLists.txt" <<'TXT'
include(spx_test.cmake)
spx_test_rooms(alpha alpha_light beta)
TXT
for room in alpha alpha_light beta; do # the program of a test is a link to one that does nothing
    cat >"$tree/tests/$room.cmake" <<TXT
set(program \${CMAKE_CURRENT_BINARY_DIR}/program_$room)
add_custom_command(OUTPUT \${program} COMMAND ln -sf /bin/true \${program})
add_custom_target(make_$room ALL DEPENDS \${program})
add_test(NAME ${room}_one COMMAND \${program})
add_test(NAME ${room}_two COMMAND \${program})
TXT
done
echo 'add_test(NAME alpha_fails COMMAND /bin/false)' >>"$tree/tests/alpha.cmake"
echo build >"$tree/.gitignore"
in_git() { git -C "$tree" -c user.name=made-up -c user.email=made@up "$@" >"$OUT/git" 2>&1; }
in_git init -b main && in_git add . && in_git commit -m begin || fail "no repository"
run=("$tree/scripts/test")
built() { [ -e "$tree/build/release/tests/program_$1" ]; }

check "one test" 0 "${run[@]}" --only 'alpha_o'
has stdout '^1 passed, 0 failed$' "one test"
built alpha || fail "one test: its program is not built"
built beta && fail "one test: the other's program is built, too"
check "a failing test" 1 "${run[@]}" --only '^alpha_(one|fails|two)'
has stdout '^2 passed, 1 failed$' "a failing test"
check "no such test" 2 "${run[@]}" --only gamma
one_line "no such test"
check "no name" 2 "${run[@]}" --only
check "an empty name" 2 "${run[@]}" --only ''
check "a word too many" 2 "${run[@]}" --quick --changed

check "nothing changed" 0 "${run[@]}" --changed
has stdout '^1 passed, 0 failed$' "nothing changed: lint alone"
echo text >"$tree/kernels/alpha/README.md"
check "a text changed" 0 "${run[@]}" --changed
has stdout 'rooms changed: none' "a text changed"
touch "$tree/tests/beta/new.c"
check "a new file" 0 "${run[@]}" --changed
has stdout '^3 passed, 0 failed$' "a new file"
built beta || fail "a new file: its room's program is not built"
in_git checkout -b other && touch "$tree/kernels/alpha/x.c" && in_git add . && in_git commit -m more
check "a file of an earlier commit" 1 "${run[@]}" --changed
has stdout 'rooms changed: alpha alpha_light beta' "a file of an earlier commit"
has stdout '^7 passed, 1 failed$' "a file of an earlier commit"
printf '#!/bin/sh\nexit 1\n' >"$tree/scripts/lint"
in_git checkout main
check "lint fails" 1 "${run[@]}" --changed
finish
