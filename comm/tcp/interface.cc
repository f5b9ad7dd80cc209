#include "comm/tcp/interface.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace lockstep::comm {
namespace {

// The interface of the route to 0.0.0.0/0 (man 5 proc, /proc/net/route); "" without one.
std::string DefaultRouteInterface() {
  std::ifstream routes("/proc/net/route");
  std::string line, name, destination;
  std::getline(routes, line);  // the heading
  while (routes >> name >> destination) {
    if (destination == "00000000") return name;
    std::getline(routes, line);
  }
  return "";
}

std::string TextOf(const sockaddr* address) {
  char text[NI_MAXHOST];
  const socklen_t length = address->sa_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  if (getnameinfo(address, length, text, sizeof text, nullptr, 0, NI_NUMERICHOST) != 0) return "";
  return text;
}

absl::StatusOr<std::vector<InterfaceAddress>> AddressesOfMachine() {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return PeerError(ErrnoText("cannot list the network interfaces", errno));
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(list, freeifaddrs);
  std::vector<InterfaceAddress> addresses;
  for (const ifaddrs* one = list; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || (one->ifa_flags & IFF_UP) == 0) continue;
    const int family = one->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    addresses.push_back({one->ifa_name, TextOf(one->ifa_addr), (one->ifa_flags & IFF_LOOPBACK) != 0});
  }
  return addresses;
}

// The bytes of an address, 4 or 16 of them; empty when `text` is none. A scope ("%eth0") is not looked at.
std::vector<uint8_t> BytesOf(absl::string_view text) {
  const std::string host(text.substr(0, text.find('%')));
  std::vector<uint8_t> bytes(16);
  if (inet_pton(AF_INET6, host.c_str(), bytes.data()) == 1) return bytes;
  bytes.resize(4);
  if (inet_pton(AF_INET, host.c_str(), bytes.data()) == 1) return bytes;
  return {};
}

struct Network {
  std::vector<uint8_t> bytes;
  int bits = 0;

  bool Holds(absl::string_view address) const {
    const std::vector<uint8_t> theirs = BytesOf(address);
    if (theirs.size() != bytes.size()) return false;
    for (int bit = 0; bit < bits; ++bit) {
      if (((theirs[bit / 8] ^ bytes[bit / 8]) >> (7 - bit % 8) & 1) != 0) return false;
    }
    return true;
  }
};

// One item of the list: a name, a prefix of names ("eth*") or a network ("10.0.0.0/8").
struct Choice {
  std::string name;
  bool is_network = false;
  Network network;

  bool Takes(const InterfaceAddress& one) const {
    if (is_network) return network.Holds(one.address);
    absl::string_view prefix = name;
    return absl::ConsumeSuffix(&prefix, "*") ? absl::StartsWith(one.name, prefix) : one.name == name;
  }
};

absl::StatusOr<Choice> ParseChoice(absl::string_view text) {
  Choice choice;
  choice.name = std::string(text);
  const size_t slash = text.find('/');
  if (slash == absl::string_view::npos) {
    if (!text.empty()) return choice;
    return ConfigError("an empty name in the list of network interfaces");
  }
  choice.is_network = true;
  choice.network.bytes = BytesOf(text.substr(0, slash));
  const bool number = absl::SimpleAtoi(text.substr(slash + 1), &choice.network.bits);
  if (choice.network.bytes.empty() || !number || choice.network.bits < 0 ||
      choice.network.bits > static_cast<int>(8 * choice.network.bytes.size())) {
    return ConfigError(absl::StrCat("'", text, "' is no network such as 10.0.0.0/8 or fd00::/8"));
  }
  return choice;
}

bool IsFour(const InterfaceAddress& one) { return BytesOf(one.address).size() == 4; }

std::string KnownText(const std::vector<InterfaceAddress>& addresses) {
  return absl::StrJoin(addresses, ", ", [](std::string* out, const InterfaceAddress& one) {
    absl::StrAppend(out, one.name, " (", one.address, ")");
  });
}

// The first IPv4 address that `takes` takes, else the first IPv6 one.
template <typename Takes>
const InterfaceAddress* First(const std::vector<InterfaceAddress>& addresses, const Takes& takes) {
  const InterfaceAddress* six = nullptr;
  for (const InterfaceAddress& one : addresses) {
    if (!takes(one)) continue;
    if (IsFour(one)) return &one;
    if (six == nullptr) six = &one;
  }
  return six;
}

}  // namespace

absl::StatusOr<std::string> ChooseAddress(const std::vector<InterfaceAddress>& addresses,
                                          absl::string_view wish, absl::string_view default_interface) {
  absl::string_view list = wish;
  const bool exclude = absl::ConsumePrefix(&list, "^");
  std::vector<Choice> choices;
  if (!wish.empty()) {
    for (const absl::string_view item : absl::StrSplit(list, ',')) {
      ASSIGN_OR_RETURN(Choice choice, ParseChoice(absl::StripAsciiWhitespace(item)));
      choices.push_back(std::move(choice));
    }
  }
  const InterfaceAddress* chosen = nullptr;
  if (exclude || choices.empty()) {
    const auto allowed = [&](const InterfaceAddress& one) {
      return !one.loopback && std::none_of(choices.begin(), choices.end(),
                                           [&](const Choice& choice) { return choice.Takes(one); });
    };
    // Where the default route goes is the best guess at where the others are.
    chosen = First(addresses, [&](const InterfaceAddress& one) {
      return one.name == default_interface && allowed(one);
    });
    if (chosen == nullptr) chosen = First(addresses, allowed);
  } else {
    for (const Choice& choice : choices) {  // in the order of the list
      chosen = First(addresses, [&](const InterfaceAddress& one) { return choice.Takes(one); });
      if (chosen != nullptr) break;
    }
  }
  if (chosen != nullptr) return chosen->address;
  if (wish.empty()) {
    return ConfigError(
        "no network interface is up but loopback, so ranks on other machines cannot be reached");
  }
  return ConfigError(absl::StrCat("no network interface that is up is meant by '", wish,
                                  "'; there are: ", KnownText(addresses)));
}

absl::StatusOr<std::string> ListenAddress(bool loopback, const std::string& wish) {
  if (loopback) return std::string("127.0.0.1");
  ASSIGN_OR_RETURN(const auto addresses, AddressesOfMachine());
  return ChooseAddress(addresses, wish, DefaultRouteInterface());
}

}  // namespace lockstep::comm
