#include "launcher/program.h"

int main(int argc, char** argv) { return lockstep::launcher::RunProgram(argc, argv, /*models=*/nullptr); }
