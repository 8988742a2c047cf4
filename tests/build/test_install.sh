#!/usr/bin/env bash
# test_install.sh BUILD CC: a program outside the tree finds the installed one both ways.
set -eu
build=$1 cc=$2
here=$(cd "$(dirname "$0")" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

cmake --install "$build" --prefix "$tmp/root" >/dev/null
version=$("$tmp/root/bin/sphynx" --version | cut -d ' ' -f 2)
if find "$tmp/root/include" -name '*_private.h' -o -path '*/cli/*' |
    grep .; then
    echo "private headers are installed"
    exit 1
fi

# moved: nothing may depend on where the build or the first prefix was
mv "$tmp/root" "$tmp/moved"
cmake -G Ninja -S "$here/consumer" -B "$tmp/b" -DCMAKE_C_COMPILER="$cc" \
    -DCMAKE_PREFIX_PATH="$tmp/moved" >/dev/null
cmake --build "$tmp/b" >/dev/null
cd "$tmp"
for program in one whole; do
    [ "$("$tmp/b/$program")" = "$version" ] || { echo "find_package: $program fails"; exit 1; }
done

PKG_CONFIG_PATH=$(dirname "$(find "$tmp/moved" -name sphynx.pc)")
export PKG_CONFIG_PATH
flags="pkg-config sphynx"
[ "$(pkg-config --modversion sphynx)" = "$version" ] || { echo "pkg-config: version"; exit 1; }
# Each header can be included alone: none needs one that stays behind.
( cd "$tmp/moved/include/sphynx" && find . -name '*.h' | sed 's/.*/#include "&"/' ) |
    while IFS= read -r line; do
        # shellcheck disable=SC2046 # flags are words
        echo "$line" | "$cc" -std=c17 -fsyntax-only -x c $($flags --cflags) - ||
            { echo "installed: $line fails"; exit 1; }
    done
# shellcheck disable=SC2046 # flags are words
"$cc" $($flags --cflags) "$here/consumer/consumer.c" -o "$tmp/consumer" $($flags --libs)
[ "$("$tmp/consumer")" = "$version" ] || { echo "pkg-config: the program fails"; exit 1; }
[ "$(wc -l <consumer.jsonl)" -eq 3 ] || { echo "three runs, not three lines"; exit 1; }
