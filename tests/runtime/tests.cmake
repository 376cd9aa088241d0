# The runtime's allocations fail as the test wants.
target_link_options(test_runtime_memory PRIVATE
  LINKER:--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc)
# System calls fail as the test wants.
target_link_options(test_runtime_checkpoint PRIVATE LINKER:--wrap=fsync,--wrap=rename,--wrap=linkat,--wrap=open,--wrap=remove)
