package ai.edgekit.demo.runtime;

import java.nio.ByteBuffer;

/**
 * A camera frame in YUV_420_888: filled anew for every frame, so that none is allocated. Samples are read from absolute
 * positions; a plane may end with its last sample. Reading moves the positions of the buffers.
 */
public final class Frame {
    public ByteBuffer y;
    public ByteBuffer u;
    public ByteBuffer v;
    public int width;
    public int height;
    public int yRowStride;
    public int uvRowStride;
    public int uvPixelStride;

    /** Clockwise degrees (0, 90, 180, 270) by which the frame has to be turned to be upright. */
    public int rotation;
}
