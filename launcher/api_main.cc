// lockstep::Main of the installed headers: the program with a user's models beside the built-in ones.
#include <iostream>

#include "absl/strings/str_cat.h"
#include "launcher/program.h"
#include "lockstep/main.h"
#include "runtime/api/registration.h"
#include "runtime/core/status.h"
#include "runtime/nn/models/builtin.h"

namespace lockstep {

int Main(int argc, char** argv, const Models& models) {
  nn::ModelRegistry registry = nn::BuiltinModels();
  const absl::Status status = api::RegisterModels(models, &registry);
  if (!status.ok()) {
    std::cerr << absl::StrCat("lockstep: error: ", status.message(), "\n");
    return ExitCodeOf(status);
  }
  return launcher::RunProgram(argc, argv, &registry);
}

}  // namespace lockstep
