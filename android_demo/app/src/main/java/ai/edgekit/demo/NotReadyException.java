package ai.edgekit.demo;

import android.app.Activity;
import android.content.Intent;
import android.view.View;

/** Why no model can answer now, as a screen shows it. */
final class NotReadyException extends Exception {
    private static final long serialVersionUID = 1;

    /** What is to be done about it. */
    enum Remedy { TEST, OPEN_MODEL, SHOW_TEST }

    final Remedy remedy;
    private final int title;
    private final int text;

    private NotReadyException(Remedy remedy, int title, int text, String detail) {
        super(detail);
        this.remedy = remedy;
        this.title = title;
        this.text = text;
    }

    /** The model was not tested on this phone yet. */
    static NotReadyException untested() {
        return new NotReadyException(Remedy.TEST, 0, 0, null);
    }

    static NotReadyException missing() {
        return new NotReadyException(
                Remedy.OPEN_MODEL, R.string.model_missing_title, R.string.model_missing_text, null);
    }

    static NotReadyException damaged(String detail) {
        return new NotReadyException(Remedy.OPEN_MODEL, R.string.model_damaged_title, 0, detail);
    }

    static NotReadyException noneCorrect() {
        return new NotReadyException(Remedy.SHOW_TEST, R.string.no_delegate_title, R.string.no_delegate_text, null);
    }

    /** The delegate passed the self-test once, and fails now. */
    static NotReadyException failed(String detail) {
        return new NotReadyException(Remedy.SHOW_TEST, R.string.model_damaged_title, 0, detail);
    }

    /** Shows it, with what to do; not for what is only untested. */
    void show(final Activity activity, MessageScreen message) {
        CharSequence why = text == 0 ? getMessage() : activity.getText(text);
        message.problem(R.drawable.ic_file, activity.getText(title), why == null ? "" : why);
        final boolean open = remedy == Remedy.OPEN_MODEL;
        message.first(open ? R.string.open_model : R.string.show_self_test, new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                activity.startActivity(new Intent(
                        activity, open ? OpenModelActivity.class : SelfTestActivity.class));
            }
        });
    }
}
