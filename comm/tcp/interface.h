// Which address a rank listens on.
#ifndef LOCKSTEP_COMM_TCP_INTERFACE_H_
#define LOCKSTEP_COMM_TCP_INTERFACE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/core/status.h"

namespace lockstep::comm {

// One of a network interface that is up.
struct InterfaceAddress {
  std::string name;     // "eth0"
  std::string address;  // "10.0.0.7", "fe80::1%eth0"
  bool loopback = false;
};

// Of `addresses` the one that `wish` means:
//   "eth0,ib0"    the first of these interfaces that is there; "eth*" any whose name begins so
//   "10.0.0.0/8"  one in that network; may stand in the list
//   "^docker0,virbr*,172.17.0.0/16"   any but these and loopback
//   ""            any but loopback
// Where several are left: that of `default_interface` before others, IPv4 before IPv6. Error: ConfigError
// that lists what there is.
absl::StatusOr<std::string> ChooseAddress(const std::vector<InterfaceAddress>& addresses,
                                          absl::string_view wish, absl::string_view default_interface);

// Loopback; else of this machine's addresses the one that `wish` means, with the default route's interface.
absl::StatusOr<std::string> ListenAddress(bool loopback, const std::string& wish);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_TCP_INTERFACE_H_
