"""Runs model.onnx in Triton's Python backend, all requests of a batch at once. numpy below 2: later ones answer nothing."""

import json
import os
import sys

sys.path[:0] = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]

import numpy
import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    def initialize(self, args):
        if int(numpy.__version__.split(".")[0]) >= 2:
            raise RuntimeError("numpy below 2 is needed")
        config = json.loads(args["model_config"])
        self.inputs = [tensor["name"] for tensor in config["input"]]
        self.output = config["output"][0]["name"]
        path = os.path.join(args["model_repository"], args["model_version"], "model.onnx")
        self.session = onnxruntime.InferenceSession(path, providers=onnxruntime.get_available_providers())

    def execute(self, requests):
        arrays = {
            name: [triton.get_input_tensor_by_name(request, name).as_numpy() for request in requests]
            for name in self.inputs
        }
        sizes = [len(array) for array in arrays[self.inputs[0]]]
        batch = {name: numpy.concatenate(parts) for name, parts in arrays.items()}
        (vectors,) = self.session.run([self.output], batch)
        answers, start = [], 0
        for size in sizes:
            part = numpy.ascontiguousarray(vectors[start : start + size])
            answers.append(triton.InferenceResponse([triton.Tensor(self.output, part)]))
            start += size
        return answers
