package ai.edgekit.demo;

import android.app.Activity;
import android.content.ActivityNotFoundException;
import android.content.Intent;
import android.net.Uri;
import android.os.Bundle;
import android.os.Handler;
import android.os.HandlerThread;
import android.os.Looper;
import android.view.View;
import android.widget.Toast;

import ai.edgekit.demo.runtime.DelegateKind;
import ai.edgekit.demo.runtime.ModelFile;
import ai.edgekit.demo.runtime.ModelFileException;

import java.io.File;
import java.io.IOException;

/** Takes a model file from the phone: copies, reads and tests it, and only then uses it. */
public final class OpenModelActivity extends Activity implements SelfTestTask.Listener {
    private static final int REQUEST_FILE = 1;
    private static final String STATE_CHOSEN = "chosen";

    private final Handler main = new Handler(Looper.getMainLooper());
    private DemoApplication app;
    private HandlerThread thread;
    private MessageScreen message;
    private File candidate;
    private ModelFile model;

    Handler worker;

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        app = (DemoApplication) getApplication();
        thread = new HandlerThread("open");
        thread.start();
        worker = new Handler(thread.getLooper());
        setContentView(R.layout.activity_message);
        message = new MessageScreen(this);
        if (state == null) {
            choose();
        } else if (state.getBoolean(STATE_CHOSEN)) {
            finish(); // the copy that was under way is gone
        }
    }

    @Override
    protected void onSaveInstanceState(Bundle state) {
        super.onSaveInstanceState(state);
        state.putBoolean(STATE_CHOSEN, message.isShown());
    }

    @Override
    protected void onStart() {
        super.onStart();
        app.selfTest.setListener(this);
        if (model != null && !app.selfTest.isRunning()) { // the test ended while the screen was away
            if (app.choice.isTested(model)) {
                onTested(model, null);
            } else {
                app.selfTest.start(model);
            }
        }
    }

    @Override
    protected void onStop() {
        app.selfTest.removeListener(this);
        super.onStop();
    }

    @Override
    protected void onDestroy() {
        thread.quitSafely();
        if (candidate != null) {
            candidate.delete(); // a test that goes on has it mapped into memory
        }
        super.onDestroy();
    }

    @Override
    protected void onActivityResult(int request, int result, Intent data) {
        if (result == RESULT_OK && data != null && data.getData() != null) {
            open(data.getData());
        } else if (!message.isShown()) {
            finish();
        }
    }

    @Override
    public void onTesting(DelegateKind kind) {
        message.working(getText(R.string.open_model_testing),
                getString(R.string.self_test_running, getString(DelegateText.name(kind))));
    }

    @Override
    public void onTested(ModelFile tested, String error) {
        if (model == null) {
            return;
        }
        if (tested != model) {
            app.selfTest.start(model); // the test of the model before it was still running
            return;
        }
        TestResult result = app.choice.result(model);
        if (error != null || result == null || result.chosen == null) {
            refuse(error == null ? getString(R.string.open_model_no_delegate)
                    : getString(R.string.open_model_kept, error));
            return;
        }
        try {
            app.models.adopt(candidate, model);
        } catch (IOException problem) {
            refuse(getString(R.string.open_model_kept, problem.getMessage()));
            return;
        }
        candidate = null;
        Toast.makeText(this, getString(R.string.open_model_done, Texts.modelName(this, model)),
                Toast.LENGTH_LONG).show();
        finish();
    }

    private void choose() {
        Intent pick = new Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("*/*");
        try {
            startActivityForResult(pick, REQUEST_FILE);
        } catch (ActivityNotFoundException error) {
            Toast.makeText(this, R.string.no_picker, Toast.LENGTH_LONG).show();
            finish();
        }
    }

    private void open(final Uri uri) {
        message.working(getText(R.string.open_model_copying), "");
        worker.post(new Runnable() {
            @Override
            public void run() {
                String problem;
                try {
                    copied(app.models.copy(getContentResolver(), uri));
                    return;
                } catch (ModelStore.TooLargeException error) {
                    problem = getString(R.string.open_model_too_large, ModelStore.MAX_MEGABYTES);
                } catch (IOException error) {
                    problem = getString(R.string.open_model_unreadable);
                } catch (ModelFileException error) {
                    problem = error.getMessage();
                }
                final String why = getString(R.string.open_model_kept, problem);
                main.post(new Runnable() {
                    @Override
                    public void run() {
                        refuse(why);
                    }
                });
            }
        });
    }

    private void copied(final File copy) throws IOException, ModelFileException {
        ModelFile read = null;
        try {
            read = app.models.read(copy);
        } finally {
            if (read == null) {
                copy.delete();
            }
        }
        final ModelFile found = read;
        main.post(new Runnable() {
            @Override
            public void run() {
                if (isDestroyed()) {
                    copy.delete();
                    return;
                }
                candidate = copy;
                model = found;
                message.working(getText(R.string.open_model_testing), "");
                app.selfTest.start(model);
            }
        });
    }

    private void refuse(String why) {
        if (candidate != null) {
            candidate.delete();
            candidate = null;
        }
        model = null;
        message.problem(R.drawable.ic_file, getText(R.string.open_model_failed), why);
        message.first(R.string.open_model_another, new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                choose();
            }
        });
        message.second(R.string.back, new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                finish();
            }
        });
    }
}
