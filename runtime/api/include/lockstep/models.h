// Models of one's own, by the name that a configuration selects them with: model { name: "part_net" }.
#ifndef LOCKSTEP_MODELS_H_
#define LOCKSTEP_MODELS_H_

#include <functional>
#include <map>
#include <string>
#include <utility>

#include "lockstep/builder.h"
#include "lockstep/params.h"

namespace lockstep {

// Declares inputs, network, loss and metrics. It may run several times (once for training, once for
// validation) and must build the same model each time from the same parameters. An exception that leaves it
// ends the run with an error that names the model.
using ModelFunction = std::function<void(Builder&, const Params&)>;

// A value: fill it, hand it to Main. Names that are taken or empty are reported by Main.
class Models {
 public:
  void Add(std::string name, ModelFunction model) { entries_.emplace(std::move(name), std::move(model)); }
  const std::multimap<std::string, ModelFunction>& entries() const { return entries_; }

 private:
  std::multimap<std::string, ModelFunction> entries_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_MODELS_H_
