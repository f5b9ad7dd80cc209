# Installed by the house's own rules once the libraries exist; see lockstepConfig.cmake.in.
