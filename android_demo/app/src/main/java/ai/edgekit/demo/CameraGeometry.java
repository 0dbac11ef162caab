package ai.edgekit.demo;

/** How a camera's pictures lie on the screen. All angles are degrees clockwise, and multiples of 90. */
final class CameraGeometry {
    private CameraGeometry() {}

    /**
     * How far a camera's frame is turned to stand upright on the screen.
     *
     * @param sensor  the camera's SENSOR_ORIENTATION
     * @param display how far the screen is turned from its natural orientation (Display.getRotation, in degrees)
     * @param front   whether the camera looks at the user; a turn of the device then turns its picture the other way
     */
    static int frameRotation(int sensor, int display, boolean front) {
        return Math.floorMod(front ? sensor + display : sensor - display, 360);
    }

    /**
     * Where a TextureView puts its picture so that it fills the view, centred, upright and with the right aspect.
     *
     * <p>The camera turns the picture upright for the device's natural orientation, and the view stretches it to its
     * own size; this undoes the stretch, turns against the screen, and enlarges until the view is covered.
     *
     * @param viewWidth    width of the view, pixels
     * @param viewHeight   height of the view, pixels
     * @param bufferWidth  width of the camera's buffer, as the sensor lies
     * @param bufferHeight height of that buffer
     * @return 2 × 3 affine map from the stretched view to the view: [a, b, c, d, e, f] with x' = ax + by + c and
     *     y' = dx + ey + f
     */
    static float[] previewTransform(
            int viewWidth, int viewHeight, int bufferWidth, int bufferHeight, int sensor, int display) {
        boolean across = sensor % 180 != 0;
        float naturalWidth = across ? bufferHeight : bufferWidth;
        float naturalHeight = across ? bufferWidth : bufferHeight;
        boolean turned = display % 180 != 0;
        float shownWidth = turned ? naturalHeight : naturalWidth;
        float shownHeight = turned ? naturalWidth : naturalHeight;
        float cover = Math.max(viewWidth / shownWidth, viewHeight / shownHeight);
        float scaleX = cover * naturalWidth / viewWidth;
        float scaleY = cover * naturalHeight / viewHeight;

        int turn = Math.floorMod(-display, 360);
        float cos = turn == 0 ? 1 : turn == 180 ? -1 : 0;
        float sin = turn == 90 ? 1 : turn == 270 ? -1 : 0;
        float a = cos * scaleX;
        float b = -sin * scaleY;
        float d = sin * scaleX;
        float e = cos * scaleY;
        float centreX = viewWidth / 2f;
        float centreY = viewHeight / 2f;
        return new float[] {
            a, b, centreX - a * centreX - b * centreY,
            d, e, centreY - d * centreX - e * centreY};
    }
}
