#!/usr/bin/env bash
# Makes and validates tables of this machine's GPU, best value first: for every type, batch 64 before batch 1, for every
# space; then, at one resolution, energy of 24 blocks at batch 64, one input instead of many beside them at batch 64;
# where onnxruntime-gpu is installed, eight blocks at batch 1 by each of its providers, then all, with ten networks; and
# operators launched one by one at batch 1, whose times scatter so that many visits are repeated.
# It ends within BUDGET seconds, whatever is left then, and says what is left; run again, it makes only that.
#
#     benchmarks/latency/gpu_tables.sh                         # on a machine with an NVIDIA GPU
#     OUT=/somewhere BUDGET=300 SPACES=mbv3-w1.0 DTYPES=fp16 benchmarks/latency/gpu_tables.sh
#     DEVICE=cpu SPACES=mbv3-w0.35 RESOLUTIONS=64 BATCHES="2 1" DTYPES=fp32 NETWORKS=10 benchmarks/latency/gpu_tables.sh
#
#     STEPS="energy eager" benchmarks/latency/gpu_tables.sh    # only what is missing
#
# The last but one is a dry run of the way, on the CPU; everything it writes says so. Measured on an H200, fp16, three
# resolutions (284 blocks), contiguous: 43 s (batch 64) and 71 s (batch 1) a table, some 50 s its validation by 40 networks.
#
# It needs python3 with torch (CUDA), what else this project depends on, scipy and matplotlib, and of this project only
# the checkout. Two commands run at a time, so that one writes models and starts while the other measures: the
# profiler itself sees to it that one at a time uses the GPU. In OUT lie, renewed after every step: results.jsonl, a
# line a step (exit code, seconds, visits, what the table and its validation say); gpu_tables.tar.gz, every table,
# journal, validation and log; in the end summary.txt.
set -u
cd "$(dirname "$0")/../.."

PYTHON=${PYTHON:-python3}
OUT=${OUT:-out/gpu}
WORK=${WORK:-out/gpu-tables}
BUDGET=${BUDGET:-900}
DEVICE=${DEVICE:-cuda:0}
SPACES=${SPACES:-mbv3-w1.0 proxyless-w1.3}
BATCHES=${BATCHES:-64 1}
DTYPES=${DTYPES:-fp16 fp32}
RESOLUTIONS=${RESOLUTIONS:-128,160,192,208,224}
NETWORKS=${NETWORKS:-40}
STEPS=${STEPS:-tables energy warm runtimes eager}
PACE=${PACE---quick}
# contiguous, channels-last, or auto: channels-last where PROBE, a file of first_gpu_probe.py, shows that cuDNN needs no
# time to plan depthwise shapes
MEMORY_FORMAT=${MEMORY_FORMAT:-auto}
PROBE=${PROBE:-}
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1

mkdir -p "$OUT" "$WORK/logs"
rm -f "$WORK/logs/first-done"
missing=$("$PYTHON" - <<'PY'
from importlib.util import find_spec
needed = ["torch", "numpy", "pandas", "rich", "safetensors", "cyclopts", "docstring_parser", "scipy", "matplotlib"]
print(" ".join(name for name in needed if find_spec(name) is None))
PY
) || { echo "error: $PYTHON does not run: set PYTHON to one with torch"; exit 1; }
if [ -n "$missing" ]; then
    echo "error: $PYTHON has no ${missing// /, }: install them (on a machine without network, first_gpu.sh takes wheels: WHEELS=FOLDER)"
    exit 1
fi
"$PYTHON" -c 'import pynvml' 2>/dev/null || echo "no nvidia-ml-py: no clock, temperature, throttling or energy will be known"
DRY_RUN=
if [ "${DEVICE#cpu}" != "$DEVICE" ]; then
    DRY_RUN="dry run: the CPU stands in a GPU's place, and no figure means anything"
    echo "$DRY_RUN"
fi
if [ "$MEMORY_FORMAT" = auto ]; then
    MEMORY_FORMAT=$("$PYTHON" - "$PROBE" <<'PY'
import json, sys
from pathlib import Path
quick = False
if sys.argv[1] and Path(sys.argv[1]).is_file():
    cases = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines() if '"kind": "case"' in line]
    first = sorted(
        case["forward_first_ms"]
        for case in cases
        if (case["dtype"], case["layout"], case["cudnn"]) == ("fp16", "channels_last", True) and "error" not in case
    )
    quick = bool(first) and first[len(first) // 2] <= 300
print("channels-last" if quick else "contiguous")
PY
    ) || MEMORY_FORMAT=contiguous
fi
echo "memory format: $MEMORY_FORMAT; $BUDGET s, $(date -u +%H:%M:%S)"

left() { echo $((BUDGET - SECONDS)); }

# tell NAME CODE SECONDS: a line of results.jsonl, and the archive anew
tell() {
    "$PYTHON" - "$WORK" "$DRY_RUN" "$MEMORY_FORMAT" "$@" >"$WORK/logs/$1.json" 2>>"$WORK/logs/tell.log" <<'PY'
import json, statistics, sys
from pathlib import Path

folder, dry_run, memory_format, name, code, seconds = sys.argv[1:]
told = {"step": name, "exit_code": int(code), "seconds": int(seconds), "memory_format": memory_format}
if dry_run:
    told["dry_run"] = dry_run
stem = name.removesuffix("-validation")
kind = ".validation.journal.jsonl" if stem != name else ".journal.jsonl"
journal = Path(folder, stem + kind)
if journal.is_file():
    records = [json.loads(line) for line in journal.read_text().splitlines()[1:] if line.endswith("}")]
    visits = [record for record in records if record.get("kind") == "result"]
    told["visits"] = len(visits)
    told["failed"] = {r["id"]: r["message"] for r in records if r.get("kind") == "failed"}
    seen, first, later = set(), [], []
    for visit in visits:
        (later if visit["id"] in seen else first).append(visit)
        seen.add(visit["id"])
    for which, some in (("first", first), ("later", later)):
        for key in ("setup_ns", "warmup_ns", "timed_ns"):
            if some:
                told[f"{which}_{key[:-3]}_ms"] = round(statistics.median(v[key] for v in some) / 1e6, 2)
    if first:
        told["longest_setup_ms"] = round(max(v["setup_ns"] for v in first) / 1e6)
        told["cold_visits"] = sum(v.get("inputs") == "cold" for v in visits)
table, scored = Path(folder, stem + ".csv"), Path(folder, stem + ".validation.json")
if table.is_file():
    lines = table.read_text().splitlines()
    told["header"] = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# ") and ": " in line)
    told["blocks"] = sum(not line.startswith("#") for line in lines) - 1
if stem != name and scored.is_file():
    result = json.loads(scored.read_text())
    for key in ("scores", "scores_without_correction", "repeat", "machine_pct", "sum_correction"):
        told[key] = result[key]
print(json.dumps(told))
PY
    (
        flock 9
        cat "$WORK/logs/$1.json" >>"$OUT/results.jsonl"
        tar -czf "$OUT/gpu_tables.tar.gz.new" -C "$WORK" . 2>/dev/null
        mv "$OUT/gpu_tables.tar.gz.new" "$OUT/gpu_tables.tar.gz"
    ) 9>"$WORK/logs/lock"
}

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
    echo "$name: exit code $code after $((SECONDS - began)) s, $(left) s are left"
    [ $code -eq 0 ] || tail -n 3 "$WORK/logs/$name.log"
    tell "$name" "$code" "$((SECONDS - began))"
    return $code
}

# table NAME NETWORKS OPTIONS...: made unless it is there, then validated unless it is
table() {
    local name=$1 networks=$2 csv=$WORK/$1.csv again=() began=$SECONDS
    shift 2
    if [ ! -f "$csv" ]; then
        [ -f "$WORK/$name.journal.jsonl" ] && again=(--resume)
        step 30 "$name" "$PYTHON" -m profilers.gpu --device "$DEVICE" --memory-format "$MEMORY_FORMAT" "$@" \
            --out "$csv" "${again[@]}"
    fi
    # the second lane begins now; but where all is slow, a table and its validation go before a second table
    [ $((SECONDS - began)) -lt $((BUDGET / 4)) ] && touch "$WORK/logs/first-done"
    if [ -f "$csv" ] && [ "$networks" -gt 0 ] && [ ! -f "$WORK/$name.validation.json" ]; then
        step 30 "$name-validation" "$PYTHON" -m profilers.validate --table "$csv" --networks "$networks" --resume
    fi
    touch "$WORK/logs/first-done"
}

# one of the two lanes: every second table
lane() {
    local number=0
    for dtype in $DTYPES; do
        for batch in $BATCHES; do
            for space in $SPACES; do
                number=$((number + 1))
                [ $((number % 2)) -eq "$1" ] || continue
                table "$space-b$batch-$dtype" "$NETWORKS" --space "$space" --batch-size "$batch" --dtype "$dtype" \
                    --resolutions "$RESOLUTIONS" $PACE
            done
        done
    done
}

first=${SPACES%% *}
type=${DTYPES%% *}
one=${RESOLUTIONS##*,}
large=${BATCHES%% *}
small=${BATCHES##* }
if ! step 20 smoke "$PYTHON" -m profilers.gpu --device "$DEVICE" --memory-format "$MEMORY_FORMAT" --space "$first" \
    --batch-size "$large" --dtype "$type" --quick --limit 8 --out "$WORK/smoke.csv" --overwrite; then
    cat "$WORK/logs/smoke.log"
    exit 1
fi
wanted() { [[ " $STEPS " == *" $1 "* ]]; }
if wanted tables; then
    lane 1 &
    {
        until [ -e "$WORK/logs/first-done" ]; do sleep 1; done
        lane 0
    } &
    wait
fi
rest=(--space "$first" --dtype "$type" --resolutions "$one" $PACE)
wanted energy && table "$first-b$large-$type-energy" 0 "${rest[@]}" --batch-size "$large" --energy --limit 24
wanted warm && table "$first-b$large-$type-warm" "$NETWORKS" "${rest[@]}" --batch-size "$large" --inputs warm

# provides RUNTIME: whether its provider is in the onnxruntime that is installed; says what is not
provides() {
    local said
    said=$("$PYTHON" - "$1" "$DEVICE" 2>&1 <<'PY'
import sys
from ofa.errors import InputError
from profilers.devices.nvidia import check_provider

try:
    check_provider(*sys.argv[1:])
except InputError as error:
    print(error)
    sys.exit(1)
PY
    ) || { echo "left out: $1 is not installed: ${said##*$'\n'}"; return 1; }
}
if wanted runtimes; then
    provided=
    for runtime in onnxruntime-cuda tensorrt; do
        provides "$runtime" && provided="$provided $runtime"
    done
    # a layout or a type that only torch has is not asked for
    own=("${rest[@]}" --batch-size "$small" --memory-format contiguous)
    [ "$type" = bf16 ] && own+=(--dtype fp16)
    for runtime in $provided; do
        table "$first-b$small-$runtime-trial" 0 "${own[@]}" --runtime "$runtime" --limit 8
    done
    for runtime in $provided; do
        table "$first-b$small-$runtime" 10 "${own[@]}" --runtime "$runtime"
    done
fi
wanted eager && table "$first-b$small-$type-eager" "$NETWORKS" "${rest[@]}" --batch-size "$small" --mode eager

"$PYTHON" - "$WORK" "$DRY_RUN" >"$OUT/summary.txt" <<'PY'
import json, sys
from pathlib import Path

facts = ("device", "runtime", "provider", "timed_by", "timing", "mode", "memory_format", "inputs", "standard_error_pct", "reference_block", "visits_doubtful",
         "throttling", "visits_beside_others", "inputs_beyond_cache", "energy_blocks", "energy_error_pct", "sum_correction",
         "expected_error")
if sys.argv[2]:
    print(sys.argv[2])
for path in sorted(Path(sys.argv[1]).glob("*.csv")):
    lines = path.read_text().splitlines()
    header = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# ") and ": " in line)
    print(f"\n{path.stem}: {sum(not line.startswith('#') for line in lines) - 1} blocks")
    for fact in facts:
        if fact in header:
            print(f"  {fact}: {header[fact]}")
    scored = path.with_suffix(".validation.json")
    if scored.is_file():
        result = json.loads(scored.read_text())
        for key in ("scores", "scores_without_correction", "repeat", "machine_pct"):
            print(f"  {key}: {json.dumps(result[key])}")
PY
tell end 0 "$SECONDS"
cat "$OUT/summary.txt"
echo "took $SECONDS s; $OUT/gpu_tables.tar.gz holds everything"
