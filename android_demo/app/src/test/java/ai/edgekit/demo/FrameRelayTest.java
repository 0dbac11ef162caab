package ai.edgekit.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;
import static org.robolectric.Shadows.shadowOf;

import android.graphics.ImageFormat;
import android.media.Image;
import android.os.Handler;
import android.os.HandlerThread;
import android.os.Looper;
import android.util.Size;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CountDownLatch;

import org.junit.After;
import org.junit.Test;

/** A model that is slower than the camera: the newest frame is next, and none is kept from the camera for long. */
public class FrameRelayTest extends AppTestCase implements FrameRelay.Listener {
    private final HandlerThread thread = new HandlerThread("worker");
    private final List<Picture> classified = new ArrayList<>();
    private final CountDownLatch begun = new CountDownLatch(1);
    private final CountDownLatch mayEnd = new CountDownLatch(1);

    @After
    public void quit() {
        thread.quit();
    }

    @Test
    public void onlyTheNewestFrameWaits() throws Exception {
        FrameRelay relay = relay();
        Picture[] pictures = {new Picture(), new Picture(), new Picture(), new Picture()};
        relay.offer(pictures[0]);
        begun.await();
        for (int i = 1; i < 4; i++) {
            relay.offer(pictures[i]);
        }
        assertTrue(pictures[1].closed && pictures[2].closed);
        assertFalse(pictures[0].closed || pictures[3].closed);
        mayEnd.countDown();
        shadowOf(thread.getLooper()).idle();
        assertEquals(Arrays.asList(pictures[0], pictures[3]), classified);
        assertTrue(pictures[0].closed && pictures[3].closed);

        Picture next = new Picture();
        relay.offer(next);
        shadowOf(thread.getLooper()).idle();
        assertEquals(3, classified.size());
        assertTrue(next.closed);
    }

    @Test
    public void whatWaitsAtTheEndIsClosed() throws Exception {
        FrameRelay relay = relay();
        relay.offer(new Picture());
        begun.await();
        Picture waiting = new Picture();
        relay.offer(waiting);
        relay.close();
        assertTrue(waiting.closed);
        mayEnd.countDown();
        shadowOf(thread.getLooper()).idle();
        assertEquals(1, classified.size());
    }

    private FrameRelay relay() {
        thread.start();
        return new FrameRelay(new Size(64, 48), new Handler(Looper.getMainLooper()), new Handler(thread.getLooper()),
                this);
    }

    @Override
    public void onOffered() {
    }

    @Override
    public void onBroken() {
        throw new AssertionError();
    }

    @Override
    public void onFrame(Image image) {
        begun.countDown();
        try {
            mayEnd.await();
        } catch (InterruptedException error) {
            throw new IllegalStateException(error);
        }
        classified.add((Picture) image);
    }

    private static final class Picture extends Image {
        volatile boolean closed;

        @Override
        public int getFormat() {
            return ImageFormat.YUV_420_888;
        }

        @Override
        public int getWidth() {
            return 64;
        }

        @Override
        public int getHeight() {
            return 48;
        }

        @Override
        public long getTimestamp() {
            return 0;
        }

        @Override
        public int getTransform() {
            return 0;
        }

        @Override
        public int getScalingMode() {
            return 0;
        }

        @Override
        public Plane[] getPlanes() {
            return new Plane[0];
        }

        @Override
        public void close() {
            closed = true;
        }
    }
}
