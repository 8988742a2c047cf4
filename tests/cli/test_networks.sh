#!/usr/bin/env bash
# test_networks.sh SPHYNX: inspect and plan, as a user sees them.
. "$(dirname "$0")/check.sh"
sphynx=$1

# json FILE EXPRESSION NAME: the expression holds of the JSON
json() { jq -e "$2" "$OUT/$1" >"$OUT/jq" 2>&1 || fail "$3: not $2"; }

net=(--init-channels 5 --layers 10 --reduce-at 0,5 --input 3x32x32 --classes 100)
check "inspect" 0 "$sphynx" inspect --genotype published "${net[@]}" --json
json stdout '.relus == 51200 and .params == 3754235 and .params_aux == 482148' inspect
json stdout '.macs == 283123520 and (.layers | length) == 13' inspect
json stdout '([.layers[].relus] | add) == .relus and ([.layers[].macs] | add) == .macs' inspect
json stdout '([.layers[] | select(.kind != "auxiliary").params] | add) == .params' inspect
check "inspect as a table" 0 "$sphynx" inspect "${net[@]}"
has stdout '^total +51200 +3754235 +283123520$' "inspect as a table"
has stdout 'inputs of 32x32 pixels: the test resolution is part' "inspect as a table"
check "inspect an input too odd for an auxiliary head" 0 "$sphynx" inspect --init-channels 4 \
    --layers 3 --reduce-at 0,1 --input 1x20x20 --classes 10 --json
json stdout '.params_aux == 0' "no auxiliary head"

cat >"$OUT/text" <<'END'
Genotype(normal=[[('skip_connect_NR', 0), ('skip_connect_NR', 1)], [('skip_connect_NR', 2),
  ('van_dil_conv_5x5_NR', 0)], [('van_conv_5x5_NR', 2), ('van_dil_conv_3x3_NR', 0)],
  [('van_conv_3x3_NR', 1), ('skip_connect_NR', 2)]], normal_concat=range(2, 6),
  reduce=[[('van_conv_3x3_NR', 0), ('van_conv_3x3_NR', 1)], [('skip_connect_NR', 0),
  ('van_conv_3x3_NR', 2)], [('van_dil_conv_3x3_NR', 0), ('skip_connect_NR', 2)],
  [('van_conv_5x5_NR', 0), ('skip_connect_NR', 4)]], reduce_concat=range(2, 6))
END
check "inspect of the text form" 0 "$sphynx" inspect --genotype "$OUT/text" "${net[@]}" --json
json stdout '.params == 3754235' "published text form"
sed 's/van_conv_5x5_NR/van_conv_7x7_NR/' "$OUT/text" >"$OUT/unknown"
sed "s/('skip_connect_NR', 4)/('skip_connect_NR', 5)/" "$OUT/text" >"$OUT/index"
head -c 300 "$OUT/text" >"$OUT/cut"
for bad in unknown index cut absent; do
    check "genotype: $bad" 1 "$sphynx" inspect --genotype "$OUT/$bad"
    one_line "genotype: $bad"
done
for bad in "--init-channels 99999999999" "--layers 0" "--layers 65" "--reduce-at 5,0,x" \
    "--input 3x32" "--input 0x32x32" "--classes -1"; do
    # shellcheck disable=SC2086
    check "inspect $bad" 2 "$sphynx" inspect $bad
    one_line "inspect $bad"
done
for bad in "--reduce-at 5,0" "--reduce-at 0,7" "--input 3x30x30" \
    "--input 3x224x224 --init-channels 5"; do
    # shellcheck disable=SC2086
    check "inspect $bad" 1 "$sphynx" inspect $bad
    one_line "inspect $bad"
done

# count TEXT RELUS [OPTION...]: what inspect says of a published network
count() {
    check "inspect $1" 0 "$sphynx" inspect --network "$1" --input 3x32x32 --classes 100 --json
    json stdout ".relus == $2 and ([.layers[].relus] | add) == .relus" "inspect $1"
}
count resnet18 557056
json stdout '.network == "resnet18,form=32,stem_relu=1,width=64" and (has("layers") and
    (has("init_channels") | not))' "inspect resnet18"
json stdout '[.layers[] | select(.kind == "stage").name] == [range(4) | "stage \(.)"]' \
    "inspect resnet18"
count resnet18,stem_relu=0 491520
count deepreduce,cull=1,thin=1,alpha=0.5,rho=1 57344
count cnet2 344064
for bad in "--network resnet19" "--network resnet18,size=3" "--network resnet18,width=x" \
    "--network resnet18,form=224" "--network densenet121" "--network resnet18 --layers 3" \
    "--network resnet18 --genotype published" "--network resnet18 --dot $OUT/none.dot"; do
    # shellcheck disable=SC2086
    check "inspect $bad" 2 "$sphynx" inspect $bad
    one_line "inspect $bad"
done
check "skips that are no file" 1 "$sphynx" inspect --network "cnet1,skips=$OUT/absent"
one_line "skips that are no file"
has stderr 'skips: neither none nor all nor x and [0-9]* digits nor a file' "skips that are no file"

check "inspect --dot" 0 "$sphynx" inspect --dot "$OUT/cells.dot"
has cells.dot 'normal_0 -> normal_2 .label="skip_connect"' "inspect --dot"
has cells.dot 'reduce_0 -> reduce_5 .label="van_conv_5x5 /2"' "inspect --dot"
if command -v dot >/dev/null; then
    check "inspect --svg" 0 "$sphynx" inspect --svg "$OUT/cells.svg"
    has cells.svg '</svg>' "inspect --svg"
fi
PATH=/nowhere check "inspect --svg without Graphviz" 1 "$sphynx" inspect --svg "$OUT/none.svg"
has stderr "no program 'dot'" "inspect --svg without Graphviz"
[ ! -e "$OUT/none.svg" ] || fail "inspect --svg without Graphviz left a file"

check "plan" 0 "$sphynx" plan --relu-budget 51200 --input 3x32x32 --classes 100 --json
json stdout '.relus == 51200 and .init_channels == 5' plan
json stdout '.layers == 10 and .reduce_at == [0, 5]' plan
json stdout '.params == 3754235 and .macs == 283123520 and ([.audit[].relus] | add) == .relus' plan
check "plan, odd budget" 0 "$sphynx" plan --relu-budget 33333 --classes 10 --max-macs 100000000 \
    --json
json stdout '.relus <= 33333 and .macs <= 100000000' "plan, odd budget"
check "plan, impossible" 1 "$sphynx" plan --relu-budget 2047
one_line "plan, impossible"
has stderr 'has 2048' "plan, impossible"
check "plan --frontier" 0 "$sphynx" plan --frontier 1000:101000:20000 --json
json stdout 'length == 6 and (.[0] | has("impossible"))' "plan --frontier"
json stdout 'all(.[1:][]; .relus <= .relu_budget)' "plan --frontier"
json stdout '[.[1:][].score] | . == sort' "plan --frontier"
check "plan --frontier list" 0 "$sphynx" plan --frontier 25600,51200
for bad in "" "--relu-budget 0" "--frontier 5:1:1" "--frontier 1:9:0" "--frontier 1,,2" \
    "--frontier 1:99999999:1" "--relu-budget 9 --frontier 9" \
    "--relu-budget 9999 --min-layers 9 --max-layers 8"; do
    # shellcheck disable=SC2086
    check "plan $bad" 2 "$sphynx" plan $bad
    one_line "plan $bad"
done
finish
