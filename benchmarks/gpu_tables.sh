#!/usr/bin/env bash
# Makes and validates all tables of this machine's GPU: two spaces, batch 1 and 64, fp16 and fp32, five resolutions;
# then, at batch 1, operators launched one by one beside graphs; then energy. It ends within BUDGET seconds, whatever
# is left then, and says what is left; run again, it makes only that.
#
#     benchmarks/gpu_tables.sh                         # on a machine with an NVIDIA GPU
#     OUT=/somewhere BUDGET=540 benchmarks/gpu_tables.sh
#
# It needs python3 with torch (CUDA), numpy, pandas, scipy, rich, safetensors and matplotlib, and of this project only
# the checkout. Two commands run at a time, so that one writes models and starts while the other measures: the
# profiler itself sees to it that one at a time uses the GPU. In OUT lie summary.txt and gpu_tables.tar.gz: every
# table, journal, validation and log.
set -u
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
OUT=${OUT:-out/gpu}
WORK=${WORK:-out/gpu-tables}
BUDGET=${BUDGET:-470}
DEVICE=${DEVICE:-cuda:0}
SPACES=${SPACES:-mbv3-w1.0 proxyless-w1.3}
BATCHES=${BATCHES:-64 1}
DTYPES=${DTYPES:-fp16 fp32}
RESOLUTIONS=${RESOLUTIONS:-128,160,192,208,224}
NETWORKS=${NETWORKS:-100}
PACE=${PACE---quick}
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1

mkdir -p "$OUT" "$WORK/logs"
missing=$("$PYTHON" - <<'PY'
from importlib.util import find_spec
needed = ["torch", "numpy", "pandas", "scipy", "rich", "safetensors", "matplotlib"]
print(" ".join(name for name in needed if find_spec(name) is None))
PY
) || { echo "error: $PYTHON does not run: set PYTHON to one with torch"; exit 1; }
if [ -n "$missing" ]; then
    echo "error: $PYTHON has no $missing"
    exit 1
fi
"$PYTHON" -c 'import pynvml' 2>/dev/null || echo "no nvidia-ml-py: no clock, temperature, throttling or energy will be known"

left() { echo $((BUDGET - SECONDS)); }

# step SECONDS NAME COMMAND...: runs it if so much time is left, and at most until the budget ends
step() {
    local needed=$1 name=$2 began=$SECONDS
    shift 2
    if [ "$(left)" -lt "$needed" ]; then
        echo "left out: $name (needs about $needed s, $(left) s are left)"
        return 1
    fi
    timeout --kill-after=5 "$(left)" "$@" >>"$WORK/logs/$name.log" 2>&1
    local code=$?
    echo "$name: exit code $code after $((SECONDS - began)) s"
    [ $code -eq 0 ] || tail -n 3 "$WORK/logs/$name.log"
    return $code
}

# table NAME NETWORKS OPTIONS...: made unless it is there, then validated unless it is
table() {
    local name=$1 networks=$2 csv=$WORK/$1.csv again=()
    shift 2
    if [ ! -f "$csv" ]; then
        [ -f "$WORK/$name.journal.jsonl" ] && again=(--resume)
        step 30 "$name" "$PYTHON" -m profilers.gpu --device "$DEVICE" "$@" --out "$csv" "${again[@]}"
    fi
    if [ -f "$csv" ] && [ "$networks" -gt 0 ] && [ ! -f "$WORK/$name.validation.json" ]; then
        step 25 "$name-validation" "$PYTHON" -m profilers.validate --table "$csv" --networks "$networks" --resume
    fi
}

# one of the two lanes: every second table
lane() {
    local number=0
    for batch in $BATCHES; do
        for dtype in $DTYPES; do
            for space in $SPACES; do
                number=$((number + 1))
                [ $((number % 2)) -eq "$1" ] || continue
                table "$space-b$batch-$dtype" "$NETWORKS" --space "$space" --batch-size "$batch" --dtype "$dtype" \
                    --resolutions "$RESOLUTIONS" $PACE
            done
        done
    done
}

if ! step 20 smoke "$PYTHON" -m profilers.gpu --device "$DEVICE" --space "${SPACES%% *}" --quick --limit 3 \
    --out "$WORK/smoke.csv" --overwrite; then
    cat "$WORK/logs/smoke.log"
    exit 1
fi
lane 1 &
lane 0 &
wait
first=${SPACES%% *}
one=${RESOLUTIONS##*,}
table "$first-b1-fp16-eager" 50 --space "$first" --batch-size 1 --dtype fp16 --mode eager --resolutions "$one" $PACE
table "$first-b1-fp16-warm" 50 --space "$first" --batch-size 1 --dtype fp16 --inputs warm --resolutions "$one" $PACE
table "$first-b64-fp16-energy" 0 --space "$first" --batch-size 64 --dtype fp16 --energy --resolutions "$one" $PACE

"$PYTHON" - "$WORK" >"$OUT/summary.txt" <<'PY'
import json, sys
from pathlib import Path
from ofa.latency_table import LatencyTable

facts = ("device", "runtime", "mode", "inputs", "standard_error_pct", "reference_block", "visits_doubtful", "throttling",
         "visits_beside_others", "inputs_beyond_cache", "energy_blocks", "energy_error_pct", "sum_correction", "expected_error")
for path in sorted(Path(sys.argv[1]).glob("*.csv")):
    table = LatencyTable.load(path)
    print(f"\n{path.stem}: {len(table.rows)} blocks")
    for fact in facts:
        if fact in table.header:
            print(f"  {fact}: {table.header[fact]}")
    scored = path.with_suffix(".validation.json")
    if scored.is_file():
        result = json.loads(scored.read_text())
        for key in ("scores", "scores_without_correction", "repeat", "machine_pct"):
            print(f"  {key}: {json.dumps(result[key])}")
PY
tar -czf "$OUT/gpu_tables.tar.gz" -C "$WORK" .
cat "$OUT/summary.txt"
echo "took $SECONDS s; $OUT/gpu_tables.tar.gz holds everything"
