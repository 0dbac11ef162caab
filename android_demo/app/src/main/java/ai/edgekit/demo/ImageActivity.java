package ai.edgekit.demo;

import android.app.Activity;
import android.content.ActivityNotFoundException;
import android.content.Intent;
import android.content.res.Configuration;
import android.graphics.Bitmap;
import android.graphics.Rect;
import android.net.Uri;
import android.os.Bundle;
import android.os.Handler;
import android.os.HandlerThread;
import android.os.Looper;
import android.os.SystemClock;
import android.view.View;
import android.widget.ImageView;
import android.widget.Toast;

import ai.edgekit.demo.runtime.ImageException;
import ai.edgekit.demo.runtime.ModelFileException;
import ai.edgekit.demo.runtime.Scores;
import ai.edgekit.demo.runtime.TopK;

import java.io.IOException;

/** Classifies one photo: picked here, or shared by another app. */
public final class ImageActivity extends Activity {
    private static final int REQUEST_PHOTO = 1;
    private static final int REQUEST_TEST = 2;
    private static final String STATE_PHOTO = "photo";

    private final Handler main = new Handler(Looper.getMainLooper());
    private final Rect covered = new Rect();
    private DemoApplication app;
    private HandlerThread thread;
    private ImageView picture;
    private ResultSheet sheet;
    private MessageScreen message;
    private Uri photo;
    private boolean resumed;
    private NotReadyException waiting;

    Handler worker;

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        app = (DemoApplication) getApplication();
        thread = new HandlerThread("photo");
        thread.start();
        worker = new Handler(thread.getLooper());
        setContentView(R.layout.activity_image);
        picture = findViewById(R.id.picture);
        sheet = findViewById(R.id.sheet);
        sheet.setVisibility(View.INVISIBLE);
        message = new MessageScreen(this);
        sheet.setOnChipsClick(new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                startActivity(new Intent(ImageActivity.this, SelfTestActivity.class));
            }
        });
        findViewById(R.id.back).setOnClickListener(new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                finish();
            }
        });
        findViewById(R.id.photo).setOnClickListener(chooser);
        final View bar = findViewById(R.id.bar);
        final int padding = bar.getPaddingTop();
        EdgeToEdge.apply(this, findViewById(R.id.screen), new EdgeToEdge.Listener() {
            @Override
            public void onCovered(Rect sides) {
                covered.set(sides);
                bar.setPadding(sides.left + padding, sides.top + padding, sides.right + padding, padding);
                place();
            }
        });
        photo = state == null ? shared(getIntent()) : (Uri) state.getParcelable(STATE_PHOTO);
        if (photo != null) {
            classify();
        } else if (state == null) {
            choose();
        }
    }

    @Override
    protected void onSaveInstanceState(Bundle state) {
        super.onSaveInstanceState(state);
        state.putParcelable(STATE_PHOTO, photo);
    }

    @Override
    protected void onResume() {
        super.onResume();
        resumed = true;
        if (waiting != null) {
            show(waiting);
        }
    }

    @Override
    protected void onPause() {
        resumed = false;
        super.onPause();
    }

    @Override
    protected void onDestroy() {
        thread.quitSafely();
        super.onDestroy();
    }

    @Override
    public void onConfigurationChanged(Configuration configuration) {
        super.onConfigurationChanged(configuration);
        place();
    }

    @Override
    protected void onActivityResult(int request, int result, Intent data) {
        if (request == REQUEST_TEST) {
            if (result == RESULT_OK) {
                classify();
            } else {
                finish();
            }
        } else if (result == RESULT_OK && data != null && data.getData() != null) {
            photo = data.getData();
            classify();
        } else if (photo == null) {
            finish();
        }
    }

    /** The photo that another app shared, or null. */
    @SuppressWarnings("deprecation")
    private static Uri shared(Intent intent) {
        Object stream = Intent.ACTION_SEND.equals(intent.getAction()) && intent.getExtras() != null
                ? intent.getExtras().get(Intent.EXTRA_STREAM) : null;
        return stream instanceof Uri ? (Uri) stream : null;
    }

    private final View.OnClickListener chooser = new View.OnClickListener() {
        @Override
        public void onClick(View view) {
            choose();
        }
    };

    private void choose() {
        Intent pick = new Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("image/*");
        try {
            startActivityForResult(pick, REQUEST_PHOTO);
        } catch (ActivityNotFoundException error) {
            Toast.makeText(this, R.string.no_picker, Toast.LENGTH_LONG).show();
            finish();
        }
    }

    private void classify() {
        sheet.setVisibility(View.INVISIBLE);
        message.working(getText(R.string.image_reading), "");
        final Uri wanted = photo;
        worker.post(new Runnable() {
            @Override
            public void run() {
                try (Engine engine = Engine.open(app)) {
                    boolean upright = engine.model.spec.preprocess.orientation.equals("exif");
                    answer(engine, ImageLoader.load(getContentResolver(), wanted, upright));
                } catch (IOException | ImageException error) {
                    unreadable();
                } catch (ModelFileException error) {
                    notReady(NotReadyException.failed(error.getMessage()));
                } catch (NotReadyException reason) {
                    notReady(reason);
                }
            }
        });
    }

    private void answer(Engine engine, final Bitmap bitmap) throws ModelFileException {
        int[] argb = new int[bitmap.getWidth() * bitmap.getHeight()];
        bitmap.getPixels(argb, 0, bitmap.getWidth(), 0, 0, bitmap.getWidth(), bitmap.getHeight());
        float[] scores = engine.classify(argb, bitmap.getWidth(), bitmap.getHeight());
        TopK best = new TopK(FrameClassifier.ROWS);
        best.update(scores);
        final FrameClassifier.Answer answer = new FrameClassifier.Answer();
        answer.count = best.count;
        System.arraycopy(best.indices, 0, answer.labels, 0, best.count);
        System.arraycopy(best.scores, 0, answer.scores, 0, best.count);
        answer.sure = Scores.areSure(scores, engine.model.spec.output);
        final Engine used = engine;
        final double milliseconds = (engine.preprocessNanos + engine.inferenceNanos) / 1e6;
        main.post(new Runnable() {
            @Override
            public void run() {
                picture.setImageBitmap(bitmap);
                sheet.setLabels(Texts.labels(used.model.spec));
                sheet.setDelegate(getString(DelegateText.name(used.kind)));
                sheet.setTimes(Texts.figure(milliseconds), null);
                sheet.show(answer, SystemClock.uptimeMillis());
                sheet.setVisibility(View.VISIBLE);
                message.hide();
                place();
            }
        });
    }

    private void unreadable() {
        main.post(new Runnable() {
            @Override
            public void run() {
                message.problem(R.drawable.ic_photo, getText(R.string.image_unreadable_title),
                        getText(R.string.image_unreadable_text));
                message.first(R.string.choose_photo, chooser);
            }
        });
    }

    private void notReady(final NotReadyException reason) {
        main.post(new Runnable() {
            @Override
            public void run() {
                if (resumed) {
                    show(reason);
                } else {
                    waiting = reason; // no screen may be started from the background
                }
            }
        });
    }

    private void show(NotReadyException reason) {
        waiting = null;
        if (reason.remedy == NotReadyException.Remedy.TEST) {
            startActivityForResult(SelfTestActivity.first(this), REQUEST_TEST);
        } else {
            reason.show(this, message);
        }
    }

    /** The sheet at its place, and the picture on what is left of the screen. */
    private void place() {
        sheet.place(covered);
        sheet.post(new Runnable() {
            @Override
            public void run() {
                int orientation = getResources().getConfiguration().orientation;
                boolean landscape = orientation == Configuration.ORIENTATION_LANDSCAPE;
                if (!landscape) {
                    picture.setPadding(covered.left, covered.top, 0, picture.getHeight() - sheet.getTop());
                } else if (sheet.getLayoutDirection() == View.LAYOUT_DIRECTION_RTL) { // the sheet is at the left
                    picture.setPadding(sheet.getRight(), covered.top, covered.right, 0);
                } else {
                    picture.setPadding(covered.left, covered.top, picture.getWidth() - sheet.getLeft(), 0);
                }
            }
        });
    }
}
