// The registry that every program starts from: mlp, resnet18, gpt.
#ifndef LOCKSTEP_RUNTIME_NN_MODELS_BUILTIN_H_
#define LOCKSTEP_RUNTIME_NN_MODELS_BUILTIN_H_

#include "runtime/nn/registry.h"

namespace lockstep::nn {

ModelRegistry BuiltinModels();

}  // namespace lockstep::nn

#endif  // LOCKSTEP_RUNTIME_NN_MODELS_BUILTIN_H_
