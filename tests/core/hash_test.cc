#include "runtime/core/hash.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/escaping.h"

namespace lockstep {
namespace {

TEST(HashTest, Sha256OfAbc) {  // FIPS 180-2, appendix B.1
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Sha256 hash;
  hash.Update("a");
  hash.Update("bc");
  EXPECT_EQ(hash.Hex(), Sha256Hex("abc"));
}

TEST(HashTest, IntegersAreLittleEndian) {
  Sha256 hash;
  hash.UpdateU32(0x04030201);
  hash.UpdateU64(0x0c0b0a0908070605);
  EXPECT_EQ(hash.Hex(), Sha256Hex(absl::string_view("\1\2\3\4\5\6\7\10\11\12\13\14", 12)));
}

TEST(HashTest, HmacSha256) {  // RFC 4231, test case 2
  EXPECT_EQ(absl::BytesToHexString(HmacSha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(HashTest, Crc32cOfTheCheckString) {  // RFC 3720, appendix B.4, and the catalogue's check value
  EXPECT_EQ(Crc32c(0, "123456789", 9), 0xe3069283u);
  const std::string zeros(32, '\0');
  EXPECT_EQ(Crc32c(0, zeros.data(), zeros.size()), 0x8a9136aau);
  EXPECT_EQ(Crc32c(Crc32c(0, "1234", 4), "56789", 5), 0xe3069283u) << "continued";
}

TEST(HashTest, MaskedCrcOfTensorBoardsExample) {
  const std::string bytes =
      "\x1a\x11"
      "CRC test, one two";
  const uint32_t masked = MaskCrc(Crc32c(0, bytes.data(), bytes.size()));
  EXPECT_EQ(masked, 0x5794d08au);
  EXPECT_EQ(MaskCrc(UnmaskCrc(masked)), masked);
}

}  // namespace
}  // namespace lockstep
