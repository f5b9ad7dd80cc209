// From the models of a user's program to the registry that training reads. Not installed.
#ifndef LOCKSTEP_RUNTIME_API_REGISTRATION_H_
#define LOCKSTEP_RUNTIME_API_REGISTRATION_H_

#include "lockstep/models.h"
#include "runtime/core/status.h"
#include "runtime/nn/registry.h"

namespace lockstep::api {

// Adds each of `models` to `registry`, which copies them. Exceptions that leave a model function become
// the builder's failure. Error: ConfigError for a name that is empty or taken.
absl::Status RegisterModels(const Models& models, nn::ModelRegistry* registry);

}  // namespace lockstep::api

#endif  // LOCKSTEP_RUNTIME_API_REGISTRATION_H_
