package ai.edgekit.demo;

import android.os.Handler;
import android.os.Looper;

import ai.edgekit.demo.runtime.CameraVectors;
import ai.edgekit.demo.runtime.DelegateKind;
import ai.edgekit.demo.runtime.DelegateRun;
import ai.edgekit.demo.runtime.ModelFile;
import ai.edgekit.demo.runtime.ModelFileException;
import ai.edgekit.demo.runtime.Report;
import ai.edgekit.demo.runtime.SelfTest;

import java.io.IOException;
import java.text.SimpleDateFormat;
import java.util.Date;
import java.util.Locale;
import java.util.TimeZone;

/** The self-test in the background, one at a time. It goes on when the screen that started it is gone. Main thread. */
final class SelfTestTask {
    private final DemoApplication app;
    private final Handler main = new Handler(Looper.getMainLooper());
    private volatile Thread thread;
    private DelegateKind current;
    private Listener listener;

    /** Hears of the progress on the main thread. */
    interface Listener {
        /** A delegate is being tried. */
        void onTesting(DelegateKind kind);

        /** The model was tested; DelegateChoice knows the result. `error` is null, or why there is none. */
        void onTested(ModelFile model, String error);
    }

    SelfTestTask(DemoApplication app) {
        this.app = app;
    }

    /** Whether a test is under way; any thread may ask. */
    boolean isRunning() {
        return thread != null;
    }

    /** Who hears of the progress from now on. It has to ask itself what became of a test that ended before. */
    void setListener(Listener newListener) {
        listener = newListener;
        if (current != null) {
            listener.onTesting(current);
        }
    }

    /** Tells it no more; another one, whose screen came before this one's left, stays. */
    void removeListener(Listener old) {
        if (listener == old) {
            listener = null;
        }
    }

    /** Starts, unless a test is running. */
    void start(final ModelFile model) {
        if (isRunning()) {
            return;
        }
        thread = new Thread("self-test") {
            @Override
            public void run() {
                String error = null;
                try {
                    app.choice.remember(model, test(model));
                } catch (IOException | ModelFileException | RuntimeException | LinkageError problem) {
                    error = String.valueOf(problem.getMessage());
                }
                finish(model, error);
            }
        };
        thread.start();
    }

    private Report test(ModelFile model) throws IOException, ModelFileException {
        Report report = new Report();
        SimpleDateFormat utc = new SimpleDateFormat("yyyy-MM-dd'T'HH:mm:ss'Z'", Locale.ROOT);
        utc.setTimeZone(TimeZone.getTimeZone("UTC"));
        report.created = utc.format(new Date());
        report.deviceName = DeviceInfo.name();
        report.system = DeviceInfo.system();
        report.abi = DeviceInfo.abi();
        report.soc = DeviceInfo.soc();
        report.appId = app.getPackageName();
        report.appVersion = DeviceInfo.appVersion(app);
        report.runtime = DeviceInfo.runtime();
        report.modelName = Texts.modelName(app, model);
        report.model = model;
        report.selfTest = SelfTest.run(model, app.delegates, new BitmapGoldenDecoder(), app.marker,
                DemoApplication.THREADS, new Progress());
        byte[] vectors = app.models.cameraVectors(model);
        if (vectors != null) {
            CameraVectors parsed = CameraVectors.parse(vectors);
            report.cameraVectors = parsed.size();
            report.cameraWrong = parsed.wrong(model.spec);
        }
        return report;
    }

    private void finish(final ModelFile model, final String error) {
        main.post(new Runnable() {
            @Override
            public void run() {
                thread = null;
                current = null;
                if (listener != null) {
                    listener.onTested(model, error);
                }
            }
        });
    }

    private final class Progress implements SelfTest.Listener {
        @Override
        public void started(final DelegateKind kind) {
            main.post(new Runnable() {
                @Override
                public void run() {
                    current = kind;
                    if (listener != null) {
                        listener.onTesting(kind);
                    }
                }
            });
        }

        @Override
        public void finished(DelegateRun run) {
        }
    }
}
