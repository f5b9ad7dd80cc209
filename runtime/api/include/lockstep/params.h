// Parameters that a configuration gives to a model written in C++:
//   model { name: "part_net" param { name: "blocks" number: 3 } param { name: "pool" text: "max" } }
#ifndef LOCKSTEP_PARAMS_H_
#define LOCKSTEP_PARAMS_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace lockstep {

// Each is asked for by name with the value that it has where the configuration does not say. A value of the
// wrong kind, and a parameter in the configuration that the model never asks for, end the run with an error
// that names it.
class Params {
 public:
  virtual int64_t Int(std::string_view name, int64_t otherwise) const = 0;
  virtual double Number(std::string_view name, double otherwise) const = 0;
  virtual bool Flag(std::string_view name, bool otherwise) const = 0;  // given as number: 0 or 1
  virtual std::string Text(std::string_view name, std::string_view otherwise) const = 0;

 protected:
  ~Params() = default;
};

}  // namespace lockstep

#endif  // LOCKSTEP_PARAMS_H_
