/* dataset_list FILE.h5: prints each dataset of an HDF5 file as "path dim dim …". */
#include <hdf5.h>
#include <stdio.h>

static herr_t print_dataset(hid_t file, const char *name, const H5L_info_t *info, void *object) {
    hsize_t dims[H5S_MAX_RANK];
    (void)info, (void)object;
    hid_t dataset = H5Oopen(file, name, H5P_DEFAULT);
    if (H5Iget_type(dataset) != H5I_DATASET) return H5Oclose(dataset);
    hid_t space = H5Dget_space(dataset);
    int rank = H5Sget_simple_extent_dims(space, dims, NULL);
    printf("%s", name);
    for (int i = 0; i < rank; i++) printf(" %llu", (unsigned long long)dims[i]);
    printf("\n");
    H5Sclose(space);
    H5Oclose(dataset);
    return rank < 0 ? -1 : 0;
}

int main(int argc, char **argv) {
    hid_t file = argc == 2 ? H5Fopen(argv[1], H5F_ACC_RDONLY, H5P_DEFAULT) : -1;
    if (file < 0) return 1;
    herr_t status = H5Lvisit(file, H5_INDEX_NAME, H5_ITER_INC, print_dataset, NULL);
    H5Fclose(file);
    return status < 0;
}
