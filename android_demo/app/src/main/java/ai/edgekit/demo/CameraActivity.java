package ai.edgekit.demo;

import android.Manifest;
import android.app.Activity;
import android.content.Intent;
import android.content.pm.PackageManager;
import android.content.res.Configuration;
import android.graphics.Rect;
import android.graphics.SurfaceTexture;
import android.hardware.display.DisplayManager;
import android.media.Image;
import android.net.Uri;
import android.os.Bundle;
import android.os.Handler;
import android.os.HandlerThread;
import android.os.Looper;
import android.os.SystemClock;
import android.provider.Settings;
import android.util.Size;
import android.view.Menu;
import android.view.MenuItem;
import android.view.TextureView;
import android.view.View;
import android.widget.PopupMenu;
import android.widget.TextView;

import ai.edgekit.demo.runtime.ImageException;
import ai.edgekit.demo.runtime.ModelFileException;

import java.util.concurrent.atomic.AtomicBoolean;

/** The first screen: what the camera sees, classified as it comes. */
public final class CameraActivity extends Activity {
    private static final int REQUEST_CAMERA = 1;
    private static final int REQUEST_TEST = 2;
    private static final long CHIPS_EVERY_MS = 500;
    private static final String STATE_ASKED = "asked";
    private static final String STATE_FRONT = "front";

    private final Handler main = new Handler(Looper.getMainLooper());
    private final Rect covered = new Rect();
    private final AtomicBoolean shown = new AtomicBoolean(true);
    private final FrameClassifier.Answer answer = new FrameClassifier.Answer();
    private DemoApplication app;
    private HandlerThread thread;
    private HandlerThread queue;
    private PreviewView preview;
    private ResultSheet sheet;
    private MessageScreen message;
    private boolean asked;
    private boolean front;
    private boolean cameraFront;
    private int sensor;
    private boolean resumed;
    private long chipsAt;

    Handler worker;
    Camera camera;

    /** Clockwise degrees that make a frame upright. */
    private volatile int rotation;

    /** Written by the worker; null while no model is loaded. */
    volatile FrameClassifier frames;

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        app = (DemoApplication) getApplication();
        asked = state != null && state.getBoolean(STATE_ASKED);
        front = state != null && state.getBoolean(STATE_FRONT);
        thread = new HandlerThread("classify");
        thread.start();
        worker = new Handler(thread.getLooper());
        queue = new HandlerThread("frames");
        queue.start();
        camera = new Camera(this, new Handler(queue.getLooper()), worker, new CameraListener());
        setContentView(R.layout.activity_camera);
        preview = findViewById(R.id.preview);
        sheet = findViewById(R.id.sheet);
        message = new MessageScreen(this);
        preview.setSurfaceTextureListener(new TextureListener());
        sheet.setOnChipsClick(opener(SelfTestActivity.class));
        findViewById(R.id.photo).setOnClickListener(opener(ImageActivity.class));
        findViewById(R.id.switch_camera).setOnClickListener(new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                front = !front;
                startCamera();
            }
        });
        findViewById(R.id.more).setOnClickListener(new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                showMenu(view);
            }
        });
        final View bar = findViewById(R.id.bar);
        final int padding = bar.getPaddingTop();
        EdgeToEdge.apply(this, findViewById(R.id.screen), new EdgeToEdge.Listener() {
            @Override
            public void onCovered(Rect sides) {
                covered.set(sides);
                bar.setPadding(sides.left + padding, sides.top + padding, sides.right + padding, padding);
                sheet.place(covered);
            }
        });
        getSystemService(DisplayManager.class).registerDisplayListener(displayListener, main);
    }

    @Override
    protected void onSaveInstanceState(Bundle state) {
        super.onSaveInstanceState(state);
        state.putBoolean(STATE_ASKED, asked);
        state.putBoolean(STATE_FRONT, front);
    }

    @Override
    protected void onResume() {
        super.onResume();
        if (isFinishing()) {
            return;
        }
        resumed = true;
        sheet.setVisibility(View.INVISIBLE);
        message.working(getText(R.string.loading), "");
        worker.post(load);
    }

    @Override
    protected void onPause() {
        resumed = false;
        camera.close();
        worker.post(unload);
        super.onPause();
    }

    @Override
    protected void onDestroy() {
        getSystemService(DisplayManager.class).unregisterDisplayListener(displayListener);
        queue.quitSafely();
        thread.quitSafely();
        super.onDestroy();
    }

    @Override
    public void onConfigurationChanged(Configuration configuration) {
        super.onConfigurationChanged(configuration);
        sheet.place(covered);
        turn();
    }

    @Override
    protected void onActivityResult(int request, int result, Intent data) {
        if (request == REQUEST_TEST && result != RESULT_OK) {
            finish(); // the user left the first test: there is nothing to show without it
        }
    }

    @Override
    public void onRequestPermissionsResult(int code, String[] permissions, int[] grants) {
        if (frames != null && resumed) {
            startCamera();
        }
    }

    private final Runnable load = new Runnable() {
        @Override
        public void run() {
            unload.run();
            try {
                frames = new FrameClassifier(Engine.open(app));
                main.post(loaded);
            } catch (final NotReadyException reason) {
                main.post(new Runnable() {
                    @Override
                    public void run() {
                        notReady(reason);
                    }
                });
            }
        }
    };

    private final Runnable unload = new Runnable() {
        @Override
        public void run() {
            FrameClassifier old = frames;
            frames = null;
            if (old != null) {
                app.choice.keep(old.engine.model, old.stats.live());
                old.engine.close();
            }
        }
    };

    private final Runnable loaded = new Runnable() {
        @Override
        public void run() {
            FrameClassifier now = frames;
            if (now == null || !resumed) {
                return;
            }
            showModel(now.engine);
            startCamera();
        }
    };

    private void notReady(NotReadyException reason) {
        if (!resumed) {
            return;
        }
        sheet.setVisibility(View.INVISIBLE);
        if (reason.remedy == NotReadyException.Remedy.TEST) {
            startActivityForResult(SelfTestActivity.first(this), REQUEST_TEST);
        } else {
            reason.show(this, message);
            if (app.models.isOpened()) {
                message.second(R.string.menu_packaged_model, new View.OnClickListener() {
                    @Override
                    public void onClick(View view) {
                        usePackaged();
                    }
                });
            }
        }
    }

    private void showModel(Engine engine) {
        String name = Texts.modelName(this, engine.model);
        String verdict = engine.model.verdict();
        ((TextView) findViewById(R.id.model)).setText(verdict.equals("pass") ? name
                : name + "\n" + getString(VerdictText.of(verdict).title));
        sheet.setLabels(Texts.labels(engine.model.spec));
        sheet.setDelegate(getString(DelegateText.name(engine.kind)));
        sheet.setTimes("–", "–");
        chipsAt = 0;
    }

    private void startCamera() {
        if (checkSelfPermission(Manifest.permission.CAMERA) != PackageManager.PERMISSION_GRANTED) {
            showPermission();
            if (!asked) {
                asked = true;
                requestPermissions(new String[] {Manifest.permission.CAMERA}, REQUEST_CAMERA);
            }
        } else if (preview.isAvailable() && resumed && frames != null) {
            message.hide();
            sheet.setVisibility(View.VISIBLE);
            findViewById(R.id.switch_camera).setVisibility(camera.canSwitch() ? View.VISIBLE : View.GONE);
            camera.open(preview.getSurfaceTexture(), front);
        } else {
            message.hide();
        }
    }

    private void showPermission() {
        boolean forGood = asked && !shouldShowRequestPermissionRationale(Manifest.permission.CAMERA);
        message.problem(R.drawable.ic_no_camera, getText(R.string.permission_title),
                getText(forGood ? R.string.permission_settings_text : R.string.permission_text));
        if (forGood) {
            message.first(R.string.permission_settings, new View.OnClickListener() {
                @Override
                public void onClick(View view) {
                    startActivity(new Intent(Settings.ACTION_APPLICATION_DETAILS_SETTINGS,
                            Uri.fromParts("package", getPackageName(), null)));
                }
            });
        } else {
            message.first(R.string.permission_allow, new View.OnClickListener() {
                @Override
                public void onClick(View view) {
                    asked = true;
                    requestPermissions(new String[] {Manifest.permission.CAMERA}, REQUEST_CAMERA);
                }
            });
        }
        message.second(R.string.choose_photo, opener(ImageActivity.class));
    }

    /** Takes over how the screen is turned now. */
    @SuppressWarnings("deprecation")
    private void turn() {
        int display = getWindowManager().getDefaultDisplay().getRotation() * 90;
        rotation = CameraGeometry.frameRotation(sensor, display, cameraFront);
        preview.setDisplayRotation(display);
    }

    int frameRotation() {
        return rotation;
    }

    private void showMenu(View anchor) {
        PopupMenu popup = new PopupMenu(this, anchor);
        Menu menu = popup.getMenu();
        menu.add(Menu.NONE, R.string.menu_open_model, 0, R.string.menu_open_model);
        if (app.models.isOpened()) {
            menu.add(Menu.NONE, R.string.menu_packaged_model, 1, R.string.menu_packaged_model);
        }
        menu.add(Menu.NONE, R.string.menu_self_test, 2, R.string.menu_self_test);
        menu.add(Menu.NONE, R.string.menu_about, 3, R.string.menu_about);
        popup.setOnMenuItemClickListener(new PopupMenu.OnMenuItemClickListener() {
            @Override
            public boolean onMenuItemClick(MenuItem item) {
                return choose(item.getItemId());
            }
        });
        popup.show();
    }

    boolean choose(int item) {
        if (item == R.string.menu_packaged_model) {
            usePackaged();
        } else {
            startActivity(new Intent(this, item == R.string.menu_open_model ? OpenModelActivity.class
                    : item == R.string.menu_self_test ? SelfTestActivity.class : AboutActivity.class));
        }
        return true;
    }

    private void usePackaged() {
        camera.close();
        sheet.setVisibility(View.INVISIBLE);
        message.working(getText(R.string.loading), "");
        app.models.usePackaged();
        worker.post(load);
    }

    private View.OnClickListener opener(final Class<? extends Activity> screen) {
        return new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                startActivity(new Intent(CameraActivity.this, screen));
            }
        };
    }

    /** Shows the newest answer; posted by the worker, at most once at a time. */
    final Runnable showAnswer = new Runnable() {
        @Override
        public void run() {
            shown.set(true);
            FrameClassifier now = frames;
            if (now == null || !resumed) {
                return;
            }
            now.read(answer);
            long time = SystemClock.uptimeMillis();
            sheet.show(answer, time);
            if (time - chipsAt >= CHIPS_EVERY_MS) {
                chipsAt = time;
                double rate = now.stats.recentRate();
                sheet.setTimes(Texts.figure(now.stats.medianTotal()), rate == 0 ? "–" : Texts.figure(rate));
            }
        }
    };

    private final DisplayManager.DisplayListener displayListener = new DisplayManager.DisplayListener() {
        @Override
        public void onDisplayAdded(int id) {
        }

        @Override
        public void onDisplayRemoved(int id) {
        }

        /** A turn by 180 degrees changes no configuration, but comes here. */
        @Override
        public void onDisplayChanged(int id) {
            turn();
        }
    };

    private final class CameraListener implements Camera.Listener {
        @Override
        public void onSource(Size size, int sensorOrientation, boolean isFront) {
            sensor = sensorOrientation;
            cameraFront = isFront;
            preview.setSource(size.getWidth(), size.getHeight(), sensorOrientation);
            turn();
        }

        @Override
        public void onProblem(int title, int text) {
            sheet.setVisibility(View.INVISIBLE);
            message.problem(R.drawable.ic_no_camera, getText(title), getText(text));
            message.first(R.string.try_again, new View.OnClickListener() {
                @Override
                public void onClick(View view) {
                    startCamera();
                }
            });
            message.second(R.string.choose_photo, opener(ImageActivity.class));
        }

        @Override
        public void onOffered() {
            FrameClassifier now = frames;
            if (now != null) {
                now.stats.offered();
            }
        }

        @Override
        public void onBroken() {
            main.post(new Runnable() {
                @Override
                public void run() {
                    if (resumed) {
                        camera.fail();
                    }
                }
            });
        }

        @Override
        public void onFrame(Image image) {
            FrameClassifier now = frames;
            if (now == null) {
                return;
            }
            try {
                now.classify(image, rotation);
                if (shown.compareAndSet(true, false)) {
                    main.post(showAnswer);
                }
            } catch (ImageException | IllegalStateException | UnsupportedOperationException error) {
                onBroken(); // planes that do not fit their size
            } catch (final ModelFileException error) {
                unload.run();
                main.post(new Runnable() {
                    @Override
                    public void run() {
                        camera.close();
                        notReady(NotReadyException.failed(error.getMessage()));
                    }
                });
            }
        }
    }

    private final class TextureListener implements TextureView.SurfaceTextureListener {
        @Override
        public void onSurfaceTextureAvailable(SurfaceTexture texture, int width, int height) {
            if (frames != null) {
                startCamera();
            }
        }

        @Override
        public void onSurfaceTextureSizeChanged(SurfaceTexture texture, int width, int height) {
            camera.sizeTexture();
        }

        @Override
        public boolean onSurfaceTextureDestroyed(SurfaceTexture texture) {
            camera.close();
            return true;
        }

        @Override
        public void onSurfaceTextureUpdated(SurfaceTexture texture) {
        }
    }
}
