// Cuts the crops of all people out of a frame that lies on the GPU: one thread for each crop pixel.
//
// A crop's pixel (x, y) is the frame at affine * (x, y, 1), bilinear between pixel centres at integers; what lies
// outside of the frame is black, and blends with it along the border. Rounded to nearest, as OpenCV's warpAffine with
// BORDER_CONSTANT and WARP_INVERSE_MAP.
//
// frame:   uint8, `frame_height` rows of `frame_width` pixels, `pitch` bytes from row to row; `channels` is 3 (BGR) or
//          4 (BGRA or BGRx), of which the last one is passed over
// affines: float32 (count, 2, 3), crop pixels to frame pixels
// crops:   uint8 (count, height, width, 3) BGR, contiguous

__device__ static float level(const unsigned char* frame, int frame_height, int frame_width, int channels,
                              long long pitch, int row, int column, int channel) {
    if (row < 0 || row >= frame_height || column < 0 || column >= frame_width) {
        return 0.0f;
    }
    return (float)frame[row * pitch + (long long)column * channels + channel];
}

extern "C" __global__ void amfac_warp(const unsigned char* frame, int frame_height, int frame_width, int channels,
                                      long long pitch, const float* affines, unsigned char* crops, int count,
                                      int height, int width) {
    const int x = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    const int y = (int)(blockIdx.y * blockDim.y + threadIdx.y);
    const int person = (int)blockIdx.z;
    if (x >= width || y >= height || person >= count) {
        return;
    }
    const float* affine = affines + 6 * person;
    const float frame_x = affine[0] * (float)x + (affine[1] * (float)y + affine[2]);
    const float frame_y = affine[3] * (float)x + (affine[4] * (float)y + affine[5]);
    unsigned char* pixel = crops + (((long long)person * height + y) * width + x) * 3;
    // Also what is no number, and what an int couldn't hold.
    if (!(frame_x > -1.0f && frame_x < (float)frame_width && frame_y > -1.0f && frame_y < (float)frame_height)) {
        pixel[0] = pixel[1] = pixel[2] = 0;
        return;
    }
    const int left = (int)floorf(frame_x);
    const int top = (int)floorf(frame_y);
    const float right_part = frame_x - (float)left;
    const float bottom_part = frame_y - (float)top;
    for (int channel = 0; channel < 3; ++channel) {
        const float top_left = level(frame, frame_height, frame_width, channels, pitch, top, left, channel);
        const float top_right = level(frame, frame_height, frame_width, channels, pitch, top, left + 1, channel);
        const float bottom_left = level(frame, frame_height, frame_width, channels, pitch, top + 1, left, channel);
        const float bottom_right =
            level(frame, frame_height, frame_width, channels, pitch, top + 1, left + 1, channel);
        const float above = top_left + right_part * (top_right - top_left);
        const float below = bottom_left + right_part * (bottom_right - bottom_left);
        pixel[channel] = (unsigned char)rintf(above + bottom_part * (below - above));
    }
}
