#include <dnnl.h>
#include <elf.h>
#include <link.h>

#include <algorithm>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "launcher/build_info.h"
#include "runtime/core/file_system.h"
#include "runtime/core/hash.h"

namespace lockstep::launcher {
namespace {

// Finds the note that the linker wrote (elf(5): notes are 4-byte aligned records of name and descriptor).
std::string FindBuildIdNote(const char* at, const char* end) {
  const auto aligned = [](size_t size) { return (size + 3) & ~size_t{3}; };
  while (end - at >= static_cast<ptrdiff_t>(sizeof(ElfW(Nhdr)))) {
    const auto* note = reinterpret_cast<const ElfW(Nhdr)*>(at);
    const char* name = at + sizeof(*note);
    const char* descriptor = name + aligned(note->n_namesz);
    if (note->n_type == NT_GNU_BUILD_ID &&
        absl::string_view(name, note->n_namesz) == absl::string_view("GNU\0", 4)) {
      return absl::BytesToHexString(absl::string_view(descriptor, note->n_descsz));
    }
    at = descriptor + aligned(note->n_descsz);
  }
  return "";
}

// Called for each loaded object; the executable is the first.
int VisitExecutable(dl_phdr_info* info, size_t, void* result) {
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info->dlpi_phdr[i];
    if (segment.p_type != PT_NOTE) continue;
    const char* begin = reinterpret_cast<const char*>(info->dlpi_addr + segment.p_vaddr);
    const std::string id = FindBuildIdNote(begin, begin + segment.p_memsz);
    if (!id.empty()) *static_cast<std::string*>(result) = id;
  }
  return 1;  // stop
}

}  // namespace

std::string BuildId() {
  std::string code;
  dl_iterate_phdr(VisitExecutable, &code);
  if (code.empty()) {
    const auto program = ReadWholeFile(RealFileSystem(), "/proc/self/exe");
    code = program.ok() ? Sha256Hex(*program) : "unknown";
  }
  const dnnl_version_t* dnnl = dnnl_version();
  return absl::StrCat(code.substr(0, 16), "-onednn", dnnl->major, ".", dnnl->minor, ".", dnnl->patch);
}

std::string VersionLine() {
  const BuildInfo& info = GetBuildInfo();
  return absl::StrCat("lockstep ", info.version, " (", info.compiler, ", ", info.build_type, ")");
}

}  // namespace lockstep::launcher
