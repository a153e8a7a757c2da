#!/usr/bin/env bash
# A space of MobileNetV4's blocks and one of MobileNetV3's, trained at equal arithmetic, and both frontiers on this CPU.
#
#     DATA=imagenette2-224.zip benchmarks/training/two_spaces.sh                 # both, one after the other, some hours
#     DATA=images DEVICE=cuda benchmarks/training/two_spaces.sh v3 v4            # or one of them
#
# Each, in OUT/NAME: its table (profilers.cpu), its supernet (--recipe short: uniform sampling, as much arithmetic
# as the paper's recipe takes at EPOCHS_SCALE), 600 measured accuracies, a predictor, its frontier, and the networks
# within LIMITS (ms), evaluated and measured whole.
# Arithmetic: `ofa.train` sets the epochs of --recipe short by MACs an image, for each space its own, from the paper's
# schedule at EPOCHS_SCALE; EPOCHS_V4 overrides it where the two budgets should be the same number. The run prints both.
# Widths: mbv3-w0.35, and examples/mobilenet_v4.toml at WIDTH, chosen so that the largest networks have like MACs
# (compare them with `ofa space show`). Run again, it continues what was stopped.
# What came of it: docs/results/training.md.
set -eu
cd "$(dirname "$0")/../.."

PYTHON=${PYTHON:-python3}
OUT=${OUT:-out/two-spaces}
DATA=${DATA:?a folder or zip of images, with train and val}
DEVICE=${DEVICE:-cpu}
EPOCHS_SCALE=${EPOCHS_SCALE:-0.06}
WIDTH=${WIDTH:-0.45}
SIDES=${SIDES:-48:96:4}
TABLE_SIDES=${TABLE_SIDES:-48:96:12} # of the table: searches take those that the predictor knows
CLASSES=${CLASSES:-10}
LIMITS=${LIMITS:-0.15 0.2 0.25 0.3 0.4 0.55}
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1
export MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=268435456
mkdir -p "$OUT"
V4=$OUT/mobilenet_v4.toml
sed "s/^name = .*/name = \"mobilenet_v4-w$WIDTH\"\nwidths = [$WIDTH]/" examples/mobilenet_v4.toml >"$V4"

one() {
    local name=$1 space=$2 run=$OUT/$1 resume=()
    mkdir -p "$run"
    "$PYTHON" -m ofa.spaces "$space" --resolutions "$SIDES" --num-classes "$CLASSES"
    if [ ! -e "$run/table.csv" ]; then
        [ -e "$run/table.journal.jsonl" ] && resume=(--resume)
        "$PYTHON" -m profilers.cpu --space "$space" --resolutions "$TABLE_SIDES" \
            --num-classes "$CLASSES" --out "$run/table.csv" "${resume[@]}"
    fi
    if [ ! -e "$run/train/supernet.safetensors" ]; then
        resume=()
        [ -e "$run/train/run.json" ] && resume=(--resume)
        local epochs=()
        [ "$name" = v4 ] && [ -n "${EPOCHS_V4:-}" ] && epochs=(--method uniform --subnets-per-step 1 --epochs "$EPOCHS_V4")
        [ ${#epochs[@]} = 0 ] && epochs=(--recipe short --epochs-scale "$EPOCHS_SCALE")
        "$PYTHON" -m ofa.train --data "$DATA" --space "$space" --resolutions "$SIDES" --smallest-crop 0.25 \
            --batch-size 64 --precision fp32 --device "$DEVICE" "${epochs[@]}" --out "$run/train" "${resume[@]}"
    fi
    "$PYTHON" -m ofa.predictors.collect --checkpoint "$run/train/supernet.safetensors" --data "$DATA" --subnets 600 \
        --tilted 0.5 --device "$DEVICE" --out "$run/accuracies.csv" --resume
    [ -e "$run/predictor.safetensors" ] || "$PYTHON" -m ofa.predictors.fit --data "$run/accuracies.csv" \
        --space "$space" --out "$run/predictor.safetensors"
    "$PYTHON" -m ofa.search --table "$run/table.csv" --predictor "$run/predictor.safetensors" --out "$run/frontier"
    # the second way: networks within the same limits, measured whole, and evaluated on all validation images
    "$PYTHON" -m ofa.search --table "$run/table.csv" --predictor "$run/predictor.safetensors" --latency $LIMITS \
        --out "$run/found"
    "$PYTHON" -m ofa.evaluate --checkpoint "$run/train/supernet.safetensors" --subnet "$run/found/result.json" \
        --data "$DATA" --split val --device "$DEVICE" --out "$run/found/accuracy.json"
    resume=()
    [ -e "$run/found/verified.1.journal.jsonl" ] && resume=(--resume)
    # its code is 1 where a limit is not kept as measured
    "$PYTHON" -m profilers.verify --table "$run/table.csv" --result "$run/found/result.json" --near 0 --again 0 \
        --quick "${resume[@]}" || [ $? = 1 ]
}

for name in "${@:-v3 v4}"; do
    for each in $name; do
        case $each in
            v3) one v3 mbv3-w0.35 ;;
            v4) one v4 "$V4" ;;
            *) echo "error: no space is called $each: v3 or v4"; exit 2 ;;
        esac
    done
done
if [ -e "$OUT/v3/found/accuracy.json" ] && [ -e "$OUT/v4/found/accuracy.json" ]; then
    "$PYTHON" benchmarks/training/two_frontiers.py "$OUT/v3" "$OUT/v4" --plot "$OUT/two_spaces.svg"
fi
