#include <iostream>

#include "absl/strings/str_cat.h"
#include "launcher/build_info.h"
#include "launcher/command.h"

namespace lockstep::launcher {

void AddVersionCommand(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand("version", "Print version, build id and how this program was built");
  command->footer("Example:\n  lockstep version");
  context.OnRun(command, [] {
    const BuildInfo& info = GetBuildInfo();
    std::cout << absl::StrCat("lockstep ", info.version, "\nbuild id: ", BuildId(), "\nsource: ", info.source,
                              "\ncompiler: ", info.compiler, "\nbuild type: ", info.build_type,
                              "\noptions: ", info.options, "\n");
    return absl::OkStatus();
  });
}

}  // namespace lockstep::launcher
