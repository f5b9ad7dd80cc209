// Several texts as one, each behind its length. Internal to comm/.
#ifndef LOCKSTEP_COMM_TEXT_LIST_H_
#define LOCKSTEP_COMM_TEXT_LIST_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace lockstep::comm {

std::string PackTexts(const std::vector<std::string>& texts);
// False when `packed` is no such list; never reads beyond it.
bool UnpackTexts(absl::string_view packed, std::vector<std::string>& texts);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_TEXT_LIST_H_
