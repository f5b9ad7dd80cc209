// What the parsers must give, computed from protobuf's messages in the plainest way.
#ifndef LOCKSTEP_TESTS_DATA_REFERENCE_PARSER_H_
#define LOCKSTEP_TESTS_DATA_REFERENCE_PARSER_H_

#include <optional>
#include <string>
#include <vector>

#include "proto/example.pb.h"
#include "runtime/data/feature_spec.h"

namespace lockstep::data {

// The bytes of every output of CheckFeatures' rules, in the order of OutputsOf; nothing where the record
// must be refused.
using Outputs = std::optional<std::vector<std::string>>;
Outputs ReferenceFeatures(const records::Features& features, const std::vector<FeatureSpec>& specs);
Outputs ReferenceLists(const records::FeatureLists& lists, const std::vector<FeatureSpec>& specs);

}  // namespace lockstep::data

#endif  // LOCKSTEP_TESTS_DATA_REFERENCE_PARSER_H_
