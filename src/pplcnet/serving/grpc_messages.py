"""The messages of the Open Inference Protocol over gRPC, made for whichever protobuf is installed.

The definitions are those of inference.GRPCInferenceService, with Triton's for statistics and the
repository, and of grpc.health.v1.Health: https://github.com/kserve/open-inference-protocol and
https://github.com/triton-inference-server/common. Code that protoc generates works with few
versions of protobuf; descriptors made here work with all from 5 on. They are in a pool of their
own, so that a client's definitions in the same process do not collide with them.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

__all__ = ["HEALTH", "INFERENCE", "METHODS", "messages"]

PACKAGE, FILE = "inference", "pplcnet/inference.proto"
INFERENCE, HEALTH = "inference.GRPCInferenceService", "grpc.health.v1.Health"
METHODS = {
    INFERENCE: (
        "ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer",
        "ModelStatistics", "RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload",
    ),
    HEALTH: ("Check",),
}  # fmt: skip
"""Of each service; the messages of a method are <method>Request and <method>Response."""
# Fields are numbered from 1 in this order. [] is repeated, {} a map from strings. An enumeration
# travels as an int32 does, and a nested message as any other.
FIELDS = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "bool live",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "bool ready",
    "ModelReadyRequest": "string name, string version",
    "ModelReadyResponse": "bool ready",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "string name, string version, string[] extensions",
    "ModelMetadataRequest": "string name, string version",
    "TensorMetadata": "string name, string datatype, int64[] shape",
    "ModelMetadataResponse": "string name, string[] versions, string platform, "
    "TensorMetadata[] inputs, TensorMetadata[] outputs",
    "InferParameter": "bool bool_param, int64 int64_param, string string_param, "
    "double double_param, uint64 uint64_param",
    "InferTensorContents": "bool[] bool_contents, int32[] int_contents, int64[] int64_contents, "
    "uint32[] uint_contents, uint64[] uint64_contents, float[] fp32_contents, "
    "double[] fp64_contents, bytes[] bytes_contents",
    "InferInputTensor": "string name, string datatype, int64[] shape, InferParameter{} parameters, "
    "InferTensorContents contents",
    "InferRequestedOutputTensor": "string name, InferParameter{} parameters",
    "ModelInferRequest": "string model_name, string model_version, string id, "
    "InferParameter{} parameters, InferInputTensor[] inputs, InferRequestedOutputTensor[] outputs, "
    "bytes[] raw_input_contents",
    "InferOutputTensor": "string name, string datatype, int64[] shape, "
    "InferParameter{} parameters, InferTensorContents contents",
    "ModelInferResponse": "string model_name, string model_version, string id, "
    "InferParameter{} parameters, InferOutputTensor[] outputs, bytes[] raw_output_contents",
    "ModelStatisticsRequest": "string name, string version",
    "StatisticDuration": "uint64 count, uint64 ns",
    "InferStatistics": "StatisticDuration success, StatisticDuration fail, "
    "StatisticDuration queue, StatisticDuration compute_input, StatisticDuration compute_infer, "
    "StatisticDuration compute_output",
    "ModelStatistics": "string name, string version, uint64 last_inference, "
    "uint64 inference_count, uint64 execution_count, InferStatistics inference_stats",
    "ModelStatisticsResponse": "ModelStatistics[] model_stats",
    "ModelRepositoryParameter": "bool bool_param, int64 int64_param, string string_param, "
    "bytes bytes_param",
    "RepositoryIndexRequest": "string repository_name, bool ready",
    "ModelIndex": "string name, string version, string state, string reason",
    "RepositoryIndexResponse": "ModelIndex[] models",
    "RepositoryModelLoadRequest": "string repository_name, string model_name, "
    "ModelRepositoryParameter{} parameters",
    "RepositoryModelLoadResponse": "",
    "RepositoryModelUnloadRequest": "string repository_name, string model_name, "
    "ModelRepositoryParameter{} parameters",
    "RepositoryModelUnloadResponse": "",
    "CheckRequest": "string service",
    "CheckResponse": "int32 status",
}
ONE_OF = {"InferParameter", "ModelRepositoryParameter"}
"""Messages of which one field is set."""


@cache
def messages() -> dict[str, Any]:
    """The class of each message, by its name."""
    file = descriptor_pb2.FileDescriptorProto(name=FILE, package=PACKAGE, syntax="proto3")
    for name, fields in FIELDS.items():
        message = file.message_type.add(name=name)
        if name in ONE_OF:
            message.oneof_decl.add(name="parameter_choice")
        for number, field in enumerate(filter(None, fields.split(", ")), start=1):
            _add_field(message, field, number)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    found = message_factory.GetMessageClassesForFiles([FILE], pool)
    return {name: found[f"{PACKAGE}.{name}"] for name in FIELDS}


def _add_field(message: Any, text: str, number: int) -> None:
    kinds = descriptor_pb2.FieldDescriptorProto
    kind, name = text.split()
    is_map, is_many = kind.endswith("{}"), kind.endswith(("[]", "{}"))
    kind = kind.rstrip("[]{}")
    if is_map:
        entry_name = "".join(map(str.capitalize, name.split("_"))) + "Entry"
        entry = message.nested_type.add(name=entry_name)
        entry.options.map_entry = True
        _add_field(entry, "string key", 1)
        _add_field(entry, f"{kind} value", 2)
        kind = f"{message.name}.{entry_name}"
    label = kinds.LABEL_REPEATED if is_many else kinds.LABEL_OPTIONAL
    field = message.field.add(name=name, number=number, label=label)
    if kind[0].isupper():
        field.type, field.type_name = kinds.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
    else:
        field.type = kinds.Type.Value(f"TYPE_{kind.upper()}")
    if message.oneof_decl:
        field.oneof_index = 0
