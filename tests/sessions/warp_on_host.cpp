// Runs warp.cu on the host, one thread of the kernel after the other: what CUDA gives a kernel is defined here.
#include <math.h>

#define __global__
#define __device__

struct Place {
    unsigned x, y, z;
};
static Place blockIdx, blockDim, threadIdx;

#include WARP_SOURCE

extern "C" void launch(const unsigned* grid, const unsigned* block, const unsigned char* frame, int frame_height,
                       int frame_width, int channels, long long pitch, const float* affines, unsigned char* crops,
                       int count, int height, int width) {
    blockDim = {block[0], block[1], block[2]};
    for (unsigned each = 0; each < grid[0] * grid[1] * grid[2]; ++each) {
        blockIdx = {each % grid[0], each / grid[0] % grid[1], each / grid[0] / grid[1]};
        for (unsigned thread = 0; thread < block[0] * block[1] * block[2]; ++thread) {
            threadIdx = {thread % block[0], thread / block[0] % block[1], thread / block[0] / block[1]};
            amfac_warp(frame, frame_height, frame_width, channels, pitch, affines, crops, count, height, width);
        }
    }
}
