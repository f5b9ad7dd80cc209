#include "comm/tcp/interface.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep::comm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const std::vector<InterfaceAddress> kMachine = {
    {"lo", "127.0.0.1", true},        {"lo", "::1", true},
    {"docker0", "172.17.0.1", false}, {"eth0", "fe80::1%eth0", false},
    {"eth0", "192.168.1.5", false},   {"ib0", "10.4.0.9", false},
    {"ib1", "10.8.0.9", false},       {"six0", "fd00:1::7", false},
};

std::string Chosen(const std::string& wish, const std::string& route = "eth0") {
  const auto address = ChooseAddress(kMachine, wish, route);
  return address.ok()
             ? *address
             : absl::StrCat("error ", ExitCodeOf(address.status()), ": ", address.status().message());
}

TEST(ChooseAddressTest, WithoutAWishTheDefaultRouteDecides) {
  EXPECT_EQ(Chosen(""), "192.168.1.5");
  EXPECT_EQ(Chosen("", "ib1"), "10.8.0.9");
  EXPECT_EQ(Chosen("", ""), "172.17.0.1");
  EXPECT_THAT(std::string(ChooseAddress({kMachine[0]}, "", "lo").status().message()), HasSubstr("loopback"));
}

TEST(ChooseAddressTest, NamesInTheOrderOfTheList) {
  EXPECT_EQ(Chosen("eth0"), "192.168.1.5");
  EXPECT_EQ(Chosen("ib1,eth0"), "10.8.0.9");
  EXPECT_EQ(Chosen("ib7, eth0"), "192.168.1.5");
  EXPECT_EQ(Chosen("ib*"), "10.4.0.9");
  EXPECT_EQ(Chosen("six0"), "fd00:1::7");
  EXPECT_EQ(Chosen("lo"), "127.0.0.1");  // who names it gets it
}

TEST(ChooseAddressTest, Networks) {
  EXPECT_EQ(Chosen("10.0.0.0/8"), "10.4.0.9");
  EXPECT_EQ(Chosen("10.8.0.0/13"), "10.8.0.9");
  EXPECT_EQ(Chosen("10.4.0.8/31"), "10.4.0.9");
  EXPECT_EQ(Chosen("10.8.0.9/32"), "10.8.0.9");
  EXPECT_EQ(Chosen("fd00::/16"), "fd00:1::7");
  EXPECT_EQ(Chosen("fe80::/10"), "fe80::1%eth0");
  EXPECT_EQ(Chosen("0.0.0.0/0"), "127.0.0.1");
  EXPECT_EQ(Chosen("11.0.0.0/8,ib1"), "10.8.0.9");
}

TEST(ChooseAddressTest, Exclusions) {
  EXPECT_EQ(Chosen("^eth0", "eth0"), "172.17.0.1");
  EXPECT_EQ(Chosen("^docker0,eth*"), "10.4.0.9");
  EXPECT_EQ(Chosen("^docker0,eth*,10.4.0.0/16"), "10.8.0.9");
  EXPECT_EQ(Chosen("^docker0,eth*,10.0.0.0/8"), "fd00:1::7");
  EXPECT_EQ(Chosen("^docker0", "ib1"), "10.8.0.9");
  EXPECT_THAT(Chosen("^*"), HasSubstr("error 2: no network interface"));  // loopback is never a leftover
}

TEST(ChooseAddressTest, WhatCannotBeIsSaid) {
  EXPECT_THAT(Chosen("eth7"), AllOf(HasSubstr("error 2"), HasSubstr("'eth7'"), HasSubstr("ib0 (10.4.0.9)")));
  for (const char* bad : {"10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "10.0.0/8", "fd00::/129", "x/8", "/"}) {
    EXPECT_THAT(Chosen(bad), AllOf(HasSubstr("error 2"), HasSubstr("is no network"), HasSubstr(bad)));
  }
  for (const char* bad : {"eth0,,ib0", ",", "^", "eth0,"}) {
    EXPECT_THAT(Chosen(bad), HasSubstr("an empty name")) << bad;
  }
}

TEST(ListenAddressTest, LoopbackWhateverTheWish) {
  EXPECT_EQ(ListenAddress(true, "eth0").value(), "127.0.0.1");
  EXPECT_EQ(ListenAddress(false, "lo").value(), "127.0.0.1");
}

}  // namespace
}  // namespace lockstep::comm
