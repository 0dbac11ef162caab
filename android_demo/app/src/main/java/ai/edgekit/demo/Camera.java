package ai.edgekit.demo;

import android.content.Context;
import android.graphics.ImageFormat;
import android.graphics.SurfaceTexture;
import android.hardware.camera2.CameraAccessException;
import android.hardware.camera2.CameraCaptureSession;
import android.hardware.camera2.CameraCharacteristics;
import android.hardware.camera2.CameraDevice;
import android.hardware.camera2.CameraManager;
import android.hardware.camera2.CaptureRequest;
import android.hardware.camera2.params.StreamConfigurationMap;
import android.os.Handler;
import android.os.Looper;
import android.util.Size;
import android.view.Surface;

import java.util.Arrays;

/**
 * One camera of the device: its preview goes to a texture, its frames to a FrameRelay. Belongs to the main thread;
 * only frames arrive on others.
 */
final class Camera {
    private final CameraManager manager;
    private final Handler main = new Handler(Looper.getMainLooper());
    private final Handler queue;
    private final Handler worker;
    private final Listener listener;

    private CameraDevice device;
    private CameraCaptureSession session;
    private FrameRelay frames;
    private Surface previewSurface;
    private Size previewSize;

    /** What is wanted now: null for no camera. */
    private SurfaceTexture wanted;
    private boolean wantsFront;

    /** Hears of the camera that is wanted now; what an earlier one still has to say is not heeded. */
    private DeviceCallback current;

    /** Was asked to open a camera and has not answered yet: until then a second camera may be refused. */
    private DeviceCallback awaited;
    private int sensor;
    private int[] focusModes;

    /** What the owner of a camera is told. */
    interface Listener extends FrameRelay.Listener {
        /** Main thread: the camera was chosen and will deliver pictures of this size, turned by `sensor` degrees. */
        void onSource(Size preview, int sensor, boolean front);

        /** Main thread: the camera cannot be used; both are ids of texts. */
        void onProblem(int title, int text);
    }

    /** Frames are taken on the thread of `queue`, which must always have time, and go to the worker's. */
    Camera(Context context, Handler queue, Handler worker, Listener listener) {
        this.manager = (CameraManager) context.getSystemService(Context.CAMERA_SERVICE);
        this.queue = queue;
        this.worker = worker;
        this.listener = listener;
    }

    /** Whether there are cameras on both sides of the device. */
    boolean canSwitch() {
        try {
            return find(true, false) != null && find(false, false) != null;
        } catch (CameraAccessException | RuntimeException error) {
            return false;
        }
    }

    boolean isOpen() {
        return wanted != null;
    }

    /** Opens the camera at the front or back, or the only one there is. Problems go to the listener. */
    void open(SurfaceTexture texture, boolean wantFront) {
        if (texture == wanted && wantFront == wantsFront) {
            return;
        }
        close();
        wanted = texture;
        wantsFront = wantFront;
        if (awaited == null) {
            connect();
        }
    }

    private void connect() {
        try {
            String id = find(wantsFront, true);
            if (id == null) {
                close();
                listener.onProblem(R.string.no_camera_title, R.string.no_camera_text);
                return;
            }
            prepare(id, wanted);
            current = new DeviceCallback();
            awaited = current;
            manager.openCamera(id, current, main);
        } catch (CameraAccessException error) {
            awaited = null;
            fail(textOf(error.getReason()));
        } catch (RuntimeException error) { // vendors' cameras throw whatever they like
            awaited = null;
            fail(R.string.camera_error_failed);
        }
    }

    /** Stops the camera. A frame that is being classified on the worker is let finish first. */
    void close() {
        wanted = null;
        current = null;
        session = null;
        if (device != null) {
            device.close();
            device = null;
        }
        if (frames != null) {
            frames.close();
            frames = null;
        }
        if (previewSurface != null) {
            previewSurface.release();
            previewSurface = null;
        }
    }

    /** The id of the open camera, or null. */
    String openId() {
        return device == null ? null : device.getId();
    }

    boolean hasSession() {
        return session != null;
    }

    /** The id of a camera on the wanted side; with `orAny` another one if there is none. */
    private String find(boolean wantFront, boolean orAny) throws CameraAccessException {
        String any = null;
        for (String id : manager.getCameraIdList()) {
            Integer facing = manager.getCameraCharacteristics(id).get(CameraCharacteristics.LENS_FACING);
            boolean isFront = facing != null && facing == CameraCharacteristics.LENS_FACING_FRONT;
            boolean isBack = facing != null && facing == CameraCharacteristics.LENS_FACING_BACK;
            if (wantFront ? isFront : isBack) {
                return id;
            }
            any = any == null ? id : any;
        }
        return orAny ? any : null;
    }

    private void prepare(String id, SurfaceTexture texture) throws CameraAccessException {
        CameraCharacteristics camera = manager.getCameraCharacteristics(id);
        Integer facing = camera.get(CameraCharacteristics.LENS_FACING);
        Integer orientation = camera.get(CameraCharacteristics.SENSOR_ORIENTATION);
        boolean front = facing != null && facing == CameraCharacteristics.LENS_FACING_FRONT;
        sensor = orientation == null ? 0 : orientation;
        focusModes = camera.get(CameraCharacteristics.CONTROL_AF_AVAILABLE_MODES);
        StreamConfigurationMap map = camera.get(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP);
        Size frame = StreamSizes.frame(sizes(map == null ? null : map.getOutputSizes(ImageFormat.YUV_420_888)));
        Size preview = StreamSizes.preview(sizes(map == null ? null : map.getOutputSizes(SurfaceTexture.class)), frame);

        frames = new FrameRelay(frame, queue, worker, listener);
        previewSize = preview;
        sizeTexture();
        previewSurface = new Surface(texture);
        listener.onSource(preview, sensor, front);
    }

    /** Call it when the texture's view has another size: the view has made its own size that of the pictures. */
    void sizeTexture() {
        if (wanted != null && previewSize != null) {
            wanted.setDefaultBufferSize(previewSize.getWidth(), previewSize.getHeight());
        }
    }

    private static Size[] sizes(Size[] offered) {
        return offered == null ? new Size[0] : offered;
    }

    /** Stops the camera because of its frames. */
    void fail() {
        fail(R.string.camera_error_failed);
    }

    private void fail(int text) {
        close();
        listener.onProblem(R.string.camera_error_title, text);
    }

    private static int textOf(int accessReason) {
        switch (accessReason) {
            case CameraAccessException.CAMERA_IN_USE:
            case CameraAccessException.MAX_CAMERAS_IN_USE:
                return R.string.camera_error_in_use;
            case CameraAccessException.CAMERA_DISABLED:
                return R.string.camera_error_disabled;
            case CameraAccessException.CAMERA_DISCONNECTED:
                return R.string.camera_error_disconnected;
            default:
                return R.string.camera_error_failed;
        }
    }

    private boolean canFocusContinuously() {
        if (focusModes != null) {
            for (int mode : focusModes) {
                if (mode == CaptureRequest.CONTROL_AF_MODE_CONTINUOUS_PICTURE) {
                    return true;
                }
            }
        }
        return false;
    }

    private final class DeviceCallback extends CameraDevice.StateCallback {
        /** Takes note of its answer; whether its camera is the one that is wanted. */
        private boolean isHeeded() {
            awaited = awaited == this ? null : awaited;
            return this == current;
        }

        private void connectNext() {
            if (wanted != null && current == null && awaited == null) {
                connect();
            }
        }

        @Override
        public void onOpened(CameraDevice opened) {
            if (!isHeeded()) {
                opened.close(); // the screen was left meanwhile, or wants another camera
                connectNext();
                return;
            }
            device = opened;
            try {
                opened.createCaptureSession(
                        Arrays.asList(previewSurface, frames.surface()), new SessionCallback(opened), main);
            } catch (CameraAccessException error) {
                fail(textOf(error.getReason()));
            } catch (RuntimeException error) {
                fail(R.string.camera_error_failed);
            }
        }

        @Override
        public void onDisconnected(CameraDevice lost) {
            lost.close();
            if (isHeeded()) {
                fail(R.string.camera_error_disconnected);
            } else {
                connectNext();
            }
        }

        @Override
        public void onError(CameraDevice broken, int error) {
            broken.close();
            if (!isHeeded()) {
                connectNext();
                return;
            }
            boolean inUse = error == ERROR_CAMERA_IN_USE || error == ERROR_MAX_CAMERAS_IN_USE;
            fail(inUse ? R.string.camera_error_in_use
                    : error == ERROR_CAMERA_DISABLED ? R.string.camera_error_disabled : R.string.camera_error_failed);
        }
    }

    private final class SessionCallback extends CameraCaptureSession.StateCallback {
        private final CameraDevice owner;

        SessionCallback(CameraDevice owner) {
            this.owner = owner;
        }

        @Override
        public void onConfigured(CameraCaptureSession configured) {
            if (owner != device) {
                return;
            }
            try {
                CaptureRequest.Builder request = owner.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW);
                request.addTarget(previewSurface);
                request.addTarget(frames.surface());
                if (canFocusContinuously()) {
                    request.set(CaptureRequest.CONTROL_AF_MODE, CaptureRequest.CONTROL_AF_MODE_CONTINUOUS_PICTURE);
                }
                configured.setRepeatingRequest(request.build(), null, main);
                session = configured;
            } catch (CameraAccessException error) {
                fail(textOf(error.getReason()));
            } catch (RuntimeException error) {
                fail(R.string.camera_error_failed);
            }
        }

        @Override
        public void onConfigureFailed(CameraCaptureSession failed) {
            if (owner == device) {
                fail(R.string.camera_error_failed);
            }
        }
    }
}
