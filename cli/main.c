/* Alone in its file, so that tests can run the driver in their own process. */
#include "cli/cli.h"

int main(int argc, char **argv) { return cli_main(argc, argv); }
