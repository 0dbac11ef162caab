package ai.edgekit.demo;

import android.app.Activity;
import android.content.res.TypedArray;
import android.view.View;
import android.view.ViewGroup;
import android.widget.Button;
import android.widget.ImageView;
import android.widget.TextView;

/** Covers an activity with one message: what is going on or went wrong, and up to two things to do about it. */
final class MessageScreen {
    private final Activity activity;
    private final boolean darkIcons;
    private final View root;
    private final ImageView icon;
    private final View progress;
    private final TextView title;
    private final TextView text;
    private final Button first;
    private final Button second;

    /** The activity's layout includes message.xml. */
    MessageScreen(Activity activity) {
        this.activity = activity;
        TypedArray theme = activity.obtainStyledAttributes(new int[] {android.R.attr.windowLightStatusBar});
        darkIcons = theme.getBoolean(0, false);
        theme.recycle();
        root = activity.findViewById(R.id.message);
        icon = activity.findViewById(R.id.message_icon);
        progress = activity.findViewById(R.id.message_progress);
        title = activity.findViewById(R.id.message_title);
        text = activity.findViewById(R.id.message_text);
        first = activity.findViewById(R.id.message_first);
        second = activity.findViewById(R.id.message_second);
    }

    /** Something takes a while. */
    void working(CharSequence what, CharSequence why) {
        show(0, what, why);
        progress.setVisibility(View.VISIBLE);
        icon.setVisibility(View.GONE);
    }

    /** Something is wrong; add what to do with `first` and `second`. */
    void problem(int iconId, CharSequence what, CharSequence why) {
        show(iconId, what, why);
        progress.setVisibility(View.GONE);
        icon.setVisibility(View.VISIBLE);
    }

    /** The main thing to do. */
    MessageScreen first(int label, View.OnClickListener action) {
        return button(first, label, action);
    }

    /** Another thing to do. */
    MessageScreen second(int label, View.OnClickListener action) {
        return button(second, label, action);
    }

    void hide() {
        root.setVisibility(View.GONE);
        setOthers(View.IMPORTANT_FOR_ACCESSIBILITY_NO_HIDE_DESCENDANTS, View.IMPORTANT_FOR_ACCESSIBILITY_AUTO);
        EdgeToEdge.setDarkIcons(activity, darkIcons);
    }

    boolean isShown() {
        return root.getVisibility() == View.VISIBLE;
    }

    private void show(int iconId, CharSequence what, CharSequence why) {
        if (iconId != 0) {
            icon.setImageResource(iconId);
        }
        title.setText(what);
        text.setText(why);
        text.setVisibility(why.length() == 0 ? View.GONE : View.VISIBLE);
        first.setVisibility(View.GONE);
        second.setVisibility(View.GONE);
        root.setVisibility(View.VISIBLE);
        setOthers(View.IMPORTANT_FOR_ACCESSIBILITY_AUTO, View.IMPORTANT_FOR_ACCESSIBILITY_NO_HIDE_DESCENDANTS);
        EdgeToEdge.setDarkIcons(activity, activity.getResources().getBoolean(R.bool.light_bars));
    }

    /** A screen reader does not see by itself what is covered. */
    private void setOthers(int from, int to) {
        ViewGroup screen = (ViewGroup) root.getParent();
        for (int i = 0; i < screen.getChildCount(); i++) {
            View child = screen.getChildAt(i);
            if (child != root && child.getImportantForAccessibility() == from) {
                child.setImportantForAccessibility(to);
            }
        }
    }

    private MessageScreen button(Button button, int label, View.OnClickListener action) {
        button.setText(label);
        button.setOnClickListener(action);
        button.setVisibility(View.VISIBLE);
        return this;
    }
}
