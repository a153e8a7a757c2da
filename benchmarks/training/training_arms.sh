#!/usr/bin/env bash
# The trainings that docs/results/training.md compares, side by side: a process each, resumable, each in OUT/ARM-SEED.
#
#     DATA=imagenette2-224.zip benchmarks/training/training_arms.sh uniform-0 uniform-1 late-0         # JOBS at a time (2)
#     DATA=images DEVICE=cuda JOBS=8 BUDGET=300 benchmarks/training/training_arms.sh uniform-0 self-0  # stops after BUDGET s
#
# Arms, all of about the same arithmetic (mbv3-w0.35, 48 to 96 px; 2,566 million MACs an image):
#   uniform   everything elastic from the start: --recipe short
#   self      95 epochs of that, then 19 distilled from its own largest network; control: the same without a teacher
#   late      the largest alone for 22 epochs, annealed; then everything with it as the teacher, for 46
#   sandwich  largest, smallest and two random ones a step; the others learn from the largest in that step
#   shrinking progressive: kernels, depths, widths become elastic one after the other, at one rate until the last stage
# and, 24 epochs of uniform sampling each, which change one thing: rate2, decay, batch32, smooth (with dropout and label
# smoothing, which the others do without), base.
# Sub-networks trained alone, at the rate and resolutions of uniform, of depth D, expand ratio E and kernel size K everywhere:
#   alone128.d2-e3-k3   for 128 epochs, as many as uniform; with 39, three of them take the arithmetic of the supernet
# Run again, it goes on with what was stopped, and leaves alone what is done.
set -u
cd "$(dirname "$0")/../.."

PYTHON=${PYTHON:-python3}
OUT=${OUT:-out/arms}
DATA=${DATA:?a folder or zip of images, with train}
DEVICE=${DEVICE:-cpu}
JOBS=${JOBS:-2}
BUDGET=${BUDGET:-100000}
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1
# or glibc gives large tensors back to the system in every step: a fifth of the time, not of the result
export MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=268435456
COMMON=(--data "$DATA" --space mbv3-w0.35 --resolutions 48:96:4 --smallest-crop 0.25 --check-images 946
    --check-every "${CHECK_EVERY:-8}" --device "$DEVICE" --precision fp32)
PLAIN=(--dropout 0 --label-smoothing 0)
PILOT=(--method uniform --subnets-per-step 1 --epochs 24)
SUBNET='
import json, sys
from ofa.space import get_space
depth, expand, kernel = (int(part[1:]) for part in sys.argv[1].split("-"))
print(json.dumps(get_space("mbv3-w0.35").subnet([kernel] * 20, [expand] * 20, [depth] * 5).to_dict() | {"resolution": 96}))
'

arm() {
    local name=$1 kind=${1%-*} seed=${1##*-} log=$OUT/$1.log run=$OUT/$1 batch=64 how=()
    [ -e "$run/supernet.safetensors" ] || [ -e "$run/network" ] && { echo "$name: done before"; return; }
    case $kind in
        uniform) how=("${PLAIN[@]}" --method uniform --subnets-per-step 1 --epochs-scale 0.06) ;;
        self | control | late | shrinking) how=("${PLAIN[@]}" --recipe "benchmarks/training/recipes/$kind.json") ;;
        sandwich) how=(--label-smoothing 0 --method sandwich --subnets-per-step 4 --epochs-scale 0.06) ;;
        alone*.d*-e*-k*)
            how=("${PLAIN[@]}" --method alone --epochs "$(expr "$kind" : 'alone\([0-9]*\)')" --subnet "$OUT/${kind#*.}.json")
            "$PYTHON" -c "$SUBNET" "${kind#*.}" >"$OUT/${kind#*.}.json" || return 2
            ;;
        base) how=("${PLAIN[@]}" "${PILOT[@]}") ;;
        rate2) how=("${PLAIN[@]}" "${PILOT[@]}" --learning-rate-scale 2) ;;
        decay) how=("${PLAIN[@]}" "${PILOT[@]}" --weight-decay 3e-4) ;;
        batch32) batch=32 how=("${PLAIN[@]}" "${PILOT[@]}" --learning-rate-scale 2) ;;
        smooth) how=("${PILOT[@]}") ;;
        *) echo "error: no arm is called $kind"; return 2 ;;
    esac
    [ -e "$run/run.json" ] && how+=(--resume)
    timeout --signal=TERM --kill-after=30 $((BUDGET - SECONDS)) "$PYTHON" -m ofa.train "${COMMON[@]}" --seed "$seed" \
        --batch-size "$batch" "${how[@]}" --out "$run" >>"$log" 2>&1
    echo "$name: exit code $? at $SECONDS s; $(grep -a ' top-1 ' "$log" | tail -n 1)"
}

mkdir -p "$OUT"
for name in "$@"; do
    while [ "$(jobs -rp | wc -l)" -ge "$JOBS" ]; do wait -n; done
    arm "$name" &
done
wait
