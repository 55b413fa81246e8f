"""Runs llama.cpp's server from the PyPI package `xllamacpp`, with those arguments of `llama-server` that Proctor uses.

This is a separate program, run by its path. It does not import Proctor.
"""

from __future__ import annotations

import argparse
import signal
import sys

import xllamacpp


def main() -> None:
    """Serve until a signal ends the process. llama.cpp writes its log to standard error."""
    asked = _arguments()
    params = xllamacpp.CommonParams()
    params.model.path = asked.model
    params.model_alias = {asked.alias}
    params.hostnames = [asked.host]
    params.port = asked.port
    params.n_ctx = asked.ctx_size
    params.n_parallel = asked.parallel
    params.n_gpu_layers = asked.n_gpu_layers
    params.use_jinja = asked.jinja
    params.endpoint_metrics = asked.metrics
    params.ui = False
    if asked.threads:
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = asked.threads
    if asked.n_gpu_layers and not _gpus():
        sys.exit("this xllamacpp was built without GPU support, or sees no GPU")
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        sys.exit(str(error))
    print(f"serving on {server.listening_address}", flush=True)
    signal.pause()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("model", "alias", "host"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("port", "ctx-size", "parallel", "n-gpu-layers"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--threads", type=int)
    for name in ("jinja", "metrics"):
        parser.add_argument(f"--{name}", action="store_true")
    return parser.parse_args()


def _gpus() -> list[str]:
    kinds = xllamacpp.ggml_backend_dev_type
    cpu = (kinds.GGML_BACKEND_DEVICE_TYPE_CPU, kinds.GGML_BACKEND_DEVICE_TYPE_ACCEL)
    return [device["name"] for device in xllamacpp.get_device_info() if device["type"] not in cpu]


if __name__ == "__main__":
    main()
