package ai.edgekit.demo;

import android.graphics.ImageFormat;
import android.media.Image;
import android.media.ImageReader;
import android.os.Handler;
import android.util.Size;
import android.view.Surface;

/**
 * Takes each frame out of the camera's queue as it comes, and keeps the newest for the worker. Frames that waited in
 * the queue while a slow model computes would stall the preview, which shares the camera's pipeline, and be old when
 * their turn comes. Allocates nothing per frame.
 */
final class FrameRelay implements ImageReader.OnImageAvailableListener {
    /** One is being classified, one waits, and two are held for a moment when the newest is taken out of the queue. */
    private static final int IMAGES = 4;

    private final Handler worker;
    private final Listener listener;
    private final ImageReader reader;

    /** Waits for the worker, which was told of it; null for none. */
    private Image newest;
    private boolean closed;

    /** What becomes of the frames. */
    interface Listener {
        /** The camera's thread: a frame came; it is dropped if a newer one comes before the worker has time. */
        void onOffered();

        /** The camera's thread: frames cannot be taken out of the queue. */
        void onBroken();

        /** The worker: the newest frame, which is closed afterwards. */
        void onFrame(Image image);
    }

    /** Frames arrive on the thread of `queue`, and go to the listener on the worker's. */
    FrameRelay(Size size, Handler queue, Handler worker, Listener listener) {
        this.worker = worker;
        this.listener = listener;
        reader = ImageReader.newInstance(size.getWidth(), size.getHeight(), ImageFormat.YUV_420_888, IMAGES);
        reader.setOnImageAvailableListener(this, queue);
    }

    /** Where the camera puts its frames. */
    Surface surface() {
        return reader.getSurface();
    }

    @Override
    public synchronized void onImageAvailable(ImageReader from) {
        if (closed) {
            return; // it was called just before
        }
        try {
            Image image = from.acquireLatestImage();
            listener.onOffered();
            if (image != null) {
                offer(image);
            }
        } catch (IllegalStateException | UnsupportedOperationException error) { // frames of another format
            listener.onBroken();
        }
    }

    /** Gives a frame to the worker as soon as it has time, in place of the one that waits. */
    synchronized void offer(Image image) {
        if (newest == null) {
            worker.post(next);
        } else {
            newest.close();
        }
        newest = image;
    }

    private synchronized Image take() {
        Image taken = newest;
        newest = null;
        return taken;
    }

    /** Ends it. A frame that is being classified is let finish first. */
    synchronized void close() {
        closed = true;
        reader.setOnImageAvailableListener(null, null);
        if (newest != null) {
            newest.close();
            newest = null;
        }
        worker.post(end);
    }

    private final Runnable next = new Runnable() {
        @Override
        public void run() {
            try (Image image = take()) {
                if (image != null) {
                    listener.onFrame(image);
                }
            }
        }
    };

    private final Runnable end = new Runnable() {
        @Override
        public void run() {
            reader.close();
        }
    };
}
