package ai.edgekit.demo;

import android.app.Activity;
import android.graphics.Rect;
import android.os.Build;
import android.view.View;
import android.view.ViewGroup;
import android.widget.Button;
import android.widget.LinearLayout;
import android.widget.TextView;

/** A page with a title that scrolls: cards with texts, pairs and buttons, put together from the project's styles. */
final class Page {
    private final Activity activity;
    private final LinearLayout content;

    /** Sets the activity's content. */
    Page(final Activity activity, CharSequence title) {
        this.activity = activity;
        activity.setContentView(R.layout.activity_page);
        content = activity.findViewById(R.id.content);
        ((TextView) activity.findViewById(R.id.title)).setText(title);
        activity.findViewById(R.id.back).setOnClickListener(new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                activity.finish();
            }
        });
        final View bar = activity.findViewById(R.id.bar);
        final View scroll = activity.findViewById(R.id.scroll);
        final View screen = activity.findViewById(R.id.screen);
        EdgeToEdge.apply(activity, screen, new EdgeToEdge.Listener() {
            @Override
            public void onCovered(Rect covered) {
                screen.setPadding(covered.left, 0, covered.right, 0);
                bar.setPaddingRelative(bar.getPaddingStart(), covered.top + dp(4), bar.getPaddingEnd(), dp(4));
                scroll.setPadding(0, 0, 0, covered.bottom);
            }
        });
    }

    /** Removes everything but the title. */
    void clear() {
        content.removeAllViews();
    }

    /** Begins a section. */
    void section(int title) {
        TextView view = new TextView(activity, null, 0, R.style.Section);
        view.setText(title);
        if (Build.VERSION.SDK_INT >= 28) {
            view.setAccessibilityHeading(true);
        }
        LinearLayout.LayoutParams params = params();
        params.setMargins(dp(4), dp(24), dp(4), dp(8));
        content.addView(view, params);
    }

    /** Adds a card below what is there. */
    LinearLayout card() {
        LinearLayout card = new LinearLayout(activity, null, 0, R.style.Card);
        LinearLayout.LayoutParams params = params();
        params.bottomMargin = dp(8);
        content.addView(card, params);
        return card;
    }

    /** Adds a line of text in a style. */
    TextView text(ViewGroup where, int style, CharSequence text) {
        TextView view = new TextView(activity, null, 0, style);
        view.setText(text);
        view.setTextDirection(View.TEXT_DIRECTION_FIRST_STRONG);
        where.addView(view, params());
        return view;
    }

    /** Adds a name and, below it, its value, which can be selected. */
    void pair(ViewGroup where, CharSequence name, CharSequence value) {
        LinearLayout both = new LinearLayout(activity);
        both.setOrientation(LinearLayout.VERTICAL);
        LinearLayout.LayoutParams params = params();
        params.topMargin = where.getChildCount() == 0 ? 0 : dp(12);
        where.addView(both, params);
        text(both, R.style.Caption, name);
        text(both, R.style.Body, value).setTextIsSelectable(true);
    }

    /** Adds a name and, at the end of the same line, a short value. */
    void line(ViewGroup where, CharSequence name, CharSequence value) {
        LinearLayout both = new LinearLayout(activity);
        LinearLayout.LayoutParams params = params();
        params.topMargin = where.getChildCount() == 0 ? 0 : dp(8);
        where.addView(both, params);
        TextView first = text(both, R.style.Body_Secondary, name);
        first.setLayoutParams(new LinearLayout.LayoutParams(0, ViewGroup.LayoutParams.WRAP_CONTENT, 1));
        TextView second = text(both, R.style.Body_Figure, value);
        second.setLayoutParams(new LinearLayout.LayoutParams(
                ViewGroup.LayoutParams.WRAP_CONTENT, ViewGroup.LayoutParams.WRAP_CONTENT));
    }

    /** Adds a button. */
    Button button(ViewGroup where, int style, CharSequence label, View.OnClickListener action) {
        Button button = new Button(activity, null, 0, style);
        button.setText(label);
        button.setOnClickListener(action);
        LinearLayout.LayoutParams params = new LinearLayout.LayoutParams(
                ViewGroup.LayoutParams.WRAP_CONTENT, ViewGroup.LayoutParams.WRAP_CONTENT);
        params.topMargin = dp(14);
        where.addView(button, params);
        return button;
    }

    /** The whole content, for what is no card. */
    LinearLayout content() {
        return content;
    }

    int dp(float value) {
        return Math.round(value * activity.getResources().getDisplayMetrics().density);
    }

    private static LinearLayout.LayoutParams params() {
        return new LinearLayout.LayoutParams(ViewGroup.LayoutParams.MATCH_PARENT, ViewGroup.LayoutParams.WRAP_CONTENT);
    }
}
