package ai.edgekit.demo;

import static org.junit.Assert.assertEquals;

import org.junit.Test;

/** The sums of rotation and centre crop; runs on any JVM. */
public class CameraGeometryTest {
    private static final float EXACT = 1e-3f;

    @Test
    public void framesOfTheBackCameraTurnAgainstTheDevice() {
        int[] upright = {90, 0, 270, 180};
        for (int i = 0; i < 4; i++) {
            assertEquals(upright[i], CameraGeometry.frameRotation(90, 90 * i, false));
        }
    }

    @Test
    public void framesOfTheFrontCameraTurnWithTheDevice() {
        int[] upright = {270, 0, 90, 180};
        for (int i = 0; i < 4; i++) {
            assertEquals(upright[i], CameraGeometry.frameRotation(270, 90 * i, true));
        }
    }

    /** On a portrait phone the picture is cut at the sides: the whole height is seen, and nothing is stretched. */
    @Test
    public void portraitCutsTheSides() {
        float[] map = CameraGeometry.previewTransform(1080, 2400, 1280, 720, 90, 0);
        assertPoint(map, 540, 1200, 540, 1200);
        float shown = 2400f * 720 / 1280; // the width of the picture when its height fills the view
        assertPoint(map, 0, 0, 540 - shown / 2, 0);
        assertPoint(map, 1080, 2400, 540 + shown / 2, 2400);
    }

    /** In landscape the picture of the natural orientation is turned back and covers the view. */
    @Test
    public void landscapeTurnsThePictureBack() {
        float[] map = CameraGeometry.previewTransform(2400, 1080, 1280, 720, 90, 90);
        assertPoint(map, 1200, 540, 1200, 540);
        float shown = 2400f * 720 / 1280;
        assertPoint(map, 0, 0, 0, 540 + shown / 2); // its upper left corner comes to lie at the lower left
        assertPoint(map, 2400, 0, 0, 540 - shown / 2); // and its upper right at the upper left
    }

    @Test
    public void theOtherLandscapeIsTheSameUpsideDown() {
        float[] one = CameraGeometry.previewTransform(2400, 1080, 1280, 720, 90, 90);
        float[] other = CameraGeometry.previewTransform(2400, 1080, 1280, 720, 90, 270);
        assertPoint(other, 0, 0, 2400 - x(one, 0, 0), 1080 - y(one, 0, 0));
        assertPoint(other, 2400, 100, 2400 - x(one, 2400, 100), 1080 - y(one, 2400, 100));
    }

    @Test
    public void upsideDownTurnsHalf() {
        float[] map = CameraGeometry.previewTransform(1080, 2400, 1280, 720, 90, 180);
        float shown = 2400f * 720 / 1280;
        assertPoint(map, 0, 0, 540 + shown / 2, 2400);
    }

    /** A tablet's natural orientation is landscape, and its sensor lies as its screen does. */
    @Test
    public void aTabletNeedsNoTurnInLandscape() {
        float[] map = CameraGeometry.previewTransform(1280, 800, 1280, 720, 0, 0);
        assertPoint(map, 0, 0, 640 - 800f * 1280 / 720 / 2, 0);
        assertPoint(map, 1280, 800, 640 + 800f * 1280 / 720 / 2, 800);
    }

    private static void assertPoint(float[] map, float fromX, float fromY, float toX, float toY) {
        assertEquals(toX, x(map, fromX, fromY), EXACT);
        assertEquals(toY, y(map, fromX, fromY), EXACT);
    }

    private static float x(float[] map, float fromX, float fromY) {
        return map[0] * fromX + map[1] * fromY + map[2];
    }

    private static float y(float[] map, float fromX, float fromY) {
        return map[3] * fromX + map[4] * fromY + map[5];
    }
}
