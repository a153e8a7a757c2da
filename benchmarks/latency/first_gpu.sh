#!/usr/bin/env bash
# The first minutes on a machine with a GPU, best value first, each step within its own limit, results as they come:
# facts of the machine; the tests that need a GPU (of the agent, of CUDA graphs, of networks and their kernels); what a
# first convolution and NVML cost; steps of a training; tables, validated; at last the tests of onnxruntime's providers,
# where it is installed, and the one that compiles. It ends within LIMIT seconds; what gpu_tables.sh left out it makes
# when run again.
#
#     OUT=out/first-gpu benchmarks/latency/first_gpu.sh
#     DEVICE=cpu BUDGET=100 OUT=/tmp/dry benchmarks/latency/first_gpu.sh      # a dry run, marked in all that it writes
#
# Settings of gpu_tables.sh (SPACES, DTYPES, BATCHES, NETWORKS, RESOLUTIONS, STEPS, WORK, PYTHON) are handed on.
# RESERVE seconds are kept for the last tests, TRAINING are for steps of a training; REFERENCE is a folder with the original
# implementation's package (benchmarks/README.md), which is timed beside. Packages that a machine without network lacks
# come from WHEELS, a folder of wheels for its Python: pip download --no-deps -d FOLDER cyclopts docstring-parser rich-rst
set -u
cd "$(dirname "$0")/../.."

PYTHON=${PYTHON:-python3}
OUT=${OUT:-out/first-gpu}
LIMIT=${LIMIT:-540}
RESERVE=${RESERVE:-60}
TRAINING=${TRAINING:-90}
export PYTHON DEVICE=${DEVICE:-cuda:0} PYTHONUNBUFFERED=1
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
mkdir -p "$OUT/gpu"
if [ -n "${WHEELS:-}" ]; then
    packages=$(mktemp -d)
    "$PYTHON" -m pip install --quiet --no-index --no-deps --target "$packages" "$WHEELS"/*.whl || exit 1
    export PYTHONPATH="$PYTHONPATH:$packages"
fi

if [ "${DEVICE#cpu}" != "$DEVICE" ]; then
    echo "dry run: the CPU stands in a GPU's place, and no figure means anything" | tee "$OUT/facts.txt"
    export SPACES=${SPACES:-mbv3-w0.35} DTYPES=${DTYPES:-fp32} BATCHES=${BATCHES:-2 1} NETWORKS=${NETWORKS:-10}
    export RESOLUTIONS=${RESOLUTIONS:-64}
    STEP_BATCHES=${STEP_BATCHES:-2}
else
    : >"$OUT/facts.txt"
    export SPACES=${SPACES:-mbv3-w1.0} DTYPES=${DTYPES:-fp16} BATCHES=${BATCHES:-64 1} NETWORKS=${NETWORKS:-40}
    export RESOLUTIONS=${RESOLUTIONS:-128,176,224}
    STEP_BATCHES=${STEP_BATCHES:-256,64,512}
fi
{
    date -u
    uname -srm
    nproc
    "$PYTHON" -m pip list 2>/dev/null | grep -iE '^(torch|numpy|pandas|scipy|triton|nvidia-ml-py|nvidia-cudnn|onnx|tensorrt|pytest)'
    timeout 20 nvidia-smi
} >>"$OUT/facts.txt" 2>&1

# tests SECONDS WHICH FILE...: the environment's own plugins and warnings do not count
tests() {
    local stop=()
    "$PYTHON" -c 'import pytest_timeout' 2>/dev/null && stop=(-p pytest_timeout -o "timeout=$1")
    PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 timeout --kill-after=5 "$1" "$PYTHON" -m pytest -W default -m cuda -v -rs \
        --durations=0 -p no:cacheprovider "${stop[@]}" -k "$2" "${@:3}" >>"$OUT/pytest.log" 2>&1
    echo "tests ($2): exit code $? at $SECONDS s"
    grep -E 'FAILED|ERROR|^=+ .*(passed|failed|skipped)' "$OUT/pytest.log" | sort -u
}

: >"$OUT/pytest.log"
agent=tests/device_agents/test_cuda_on_gpu.py
tests 75 "not compiled and not provider" "$agent"
tests 90 "to_the_bit or fails" tests/ofa/training/graphs/test_on_gpu.py
# kernels in bf16 alone: each type, kernel size and activation is compiled
tests 60 "gpu_networks or dtype2" tests/ofa/networks/test_gpu_networks.py tests/ofa/networks/test_gpu_kernels.py
timeout --kill-after=5 40 "$PYTHON" benchmarks/latency/first_gpu_probe.py --device "$DEVICE" --seconds 24 \
    --out "$OUT/probe.jsonl"
echo "probe: exit code $? at $SECONDS s"
timeout --kill-after=5 "$TRAINING" "$PYTHON" benchmarks/training/gpu_steps.py --device "$DEVICE" \
    --batches "$STEP_BATCHES" --each 0.5 --seconds $((TRAINING - 20)) ${REFERENCE:+--reference "$REFERENCE"} \
    --out "$OUT/steps.jsonl" 2>&1 | tee "$OUT/steps.log"
echo "steps of a training: exit code ${PIPESTATUS[0]} at $SECONDS s"
export PROBE=$OUT/probe.jsonl BUDGET=${BUDGET:-$((LIMIT - SECONDS - RESERVE - 10))}
OUT=$OUT/gpu bash benchmarks/latency/gpu_tables.sh 2>&1 | tee "$OUT/tables.log"
if [ $((LIMIT - SECONDS)) -ge 50 ]; then
    tests $((LIMIT - SECONDS)) "compiled or provider" "$agent"
else
    echo "left out: the tests of providers, and the one that compiles ($((LIMIT - SECONDS)) s are left)"
fi
echo "took $SECONDS s; all is in $OUT"
