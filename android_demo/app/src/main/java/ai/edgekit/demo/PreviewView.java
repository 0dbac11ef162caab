package ai.edgekit.demo;

import android.content.Context;
import android.graphics.Matrix;
import android.util.AttributeSet;
import android.view.TextureView;

/** The camera's picture, filling the view with the right aspect and rotation. */
public final class PreviewView extends TextureView {
    private int bufferWidth;
    private int bufferHeight;
    private int sensor;
    private int display;

    public PreviewView(Context context, AttributeSet attributes) {
        super(context, attributes);
    }

    /** What the camera delivers; see CameraGeometry. */
    void setSource(int width, int height, int sensorOrientation) {
        bufferWidth = width;
        bufferHeight = height;
        sensor = sensorOrientation;
        place();
    }

    /** How far the screen is turned, degrees. */
    void setDisplayRotation(int degrees) {
        display = degrees;
        place();
    }

    @Override
    protected void onSizeChanged(int width, int height, int oldWidth, int oldHeight) {
        super.onSizeChanged(width, height, oldWidth, oldHeight);
        place();
    }

    private void place() {
        if (bufferWidth == 0 || getWidth() == 0) {
            return;
        }
        float[] map = CameraGeometry.previewTransform(
                getWidth(), getHeight(), bufferWidth, bufferHeight, sensor, display);
        Matrix matrix = new Matrix();
        matrix.setValues(new float[] {map[0], map[1], map[2], map[3], map[4], map[5], 0, 0, 1});
        setTransform(matrix);
    }
}
