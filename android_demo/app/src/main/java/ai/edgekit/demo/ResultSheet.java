package ai.edgekit.demo;

import android.content.Context;
import android.content.res.Configuration;
import android.graphics.Rect;
import android.util.AttributeSet;
import android.view.Gravity;
import android.view.LayoutInflater;
import android.view.View;
import android.widget.FrameLayout;
import android.widget.LinearLayout;
import android.widget.ScrollView;
import android.widget.TextView;

import java.util.List;

/**
 * The answer over the picture: the first label large, some rows under it, and chips with the delegate, the time and the
 * rate. At the bottom in portrait, at the right in landscape.
 */
public final class ResultSheet extends ScrollView {
    /** A screen reader hears a new first label at most this often. */
    private static final long QUIET_MS = 2000;

    private static final int MAX_ROWS = FrameClassifier.ROWS - 1;
    private static final int MAX_ROWS_LANDSCAPE = 3;

    private final ScoreRow best;
    private final LinearLayout rows;
    private final LinearLayout chips;
    private final TextView delegate;
    private final TextView time;
    private final TextView rate;
    private List<String> labels;
    private int bestLabel = -1;
    private boolean bestSure;
    private String announced = "";
    private long announcedAt;

    public ResultSheet(Context context, AttributeSet attributes) {
        super(context, attributes);
        LayoutInflater.from(context).inflate(R.layout.result_sheet, this, true);
        setBackgroundResource(R.drawable.sheet);
        setClipToOutline(true);
        setElevation(8 * getResources().getDisplayMetrics().density);
        setVerticalScrollBarEnabled(false);
        best = findViewById(R.id.best);
        rows = findViewById(R.id.rows);
        chips = findViewById(R.id.chips);
        delegate = findViewById(R.id.chip_delegate);
        time = findViewById(R.id.chip_time);
        rate = findViewById(R.id.chip_rate);
        for (int i = 0; i < MAX_ROWS; i++) {
            LayoutInflater.from(context).inflate(R.layout.result_row, rows, true);
        }
    }

    /** The names of the scores. Call it before anything is shown. */
    void setLabels(List<String> names) {
        labels = names;
        best.setLabel("", true);
        best.setScore(0);
        bestLabel = -1;
        announced = "";
        showRows(isLandscape());
    }

    /** Lays the sheet out beside `covered`, the margins of the screen that the system covers. */
    void place(Rect covered) {
        boolean landscape = isLandscape();
        float density = getResources().getDisplayMetrics().density;
        int margin = Math.round(12 * density);
        int bar = Math.round(72 * density); // the buttons at the top stay free, however large the text is
        int width = getResources().getDisplayMetrics().widthPixels;
        FrameLayout.LayoutParams params = (FrameLayout.LayoutParams) getLayoutParams();
        if (landscape) {
            params.width = Math.min(Math.round(360 * density), Math.round(width * 0.46f));
            params.gravity = Gravity.END | Gravity.BOTTOM;
        } else {
            boolean wide = width > 600 * density;
            params.width = wide ? Math.round(560 * density) : LinearLayout.LayoutParams.MATCH_PARENT;
            params.gravity = Gravity.BOTTOM | Gravity.CENTER_HORIZONTAL;
        }
        params.setMargins(covered.left + margin, covered.top + bar, covered.right + margin, covered.bottom + margin);
        setLayoutParams(params);
        boolean whole = params.width == LinearLayout.LayoutParams.MATCH_PARENT;
        placeChips((whole ? width - params.leftMargin - params.rightMargin : params.width) - Math.round(40 * density));
        showRows(landscape);
    }

    /** The chips beside one another, or, where large text leaves no room for that, below one another. */
    private void placeChips(int room) {
        float density = getResources().getDisplayMetrics().density;
        String widest = Texts.figure(8.8);
        float around = 3 * 32 * density; // their paddings and margins
        float needed = around + rate.getPaint().measureText(getResources().getString(R.string.delegate_nnapi)
                + getResources().getString(R.string.chip_milliseconds, widest)
                + getResources().getString(R.string.chip_rate, widest));
        chips.setOrientation(needed <= room ? LinearLayout.HORIZONTAL : LinearLayout.VERTICAL);
        chips.setGravity(needed <= room ? Gravity.CENTER_VERTICAL : Gravity.START);
    }

    /** Opens the self-test from the chips. */
    void setOnChipsClick(OnClickListener listener) {
        chips.setOnClickListener(listener);
    }

    /** Shows an answer; allocates only where a label changed. `nowMs` is of SystemClock.uptimeMillis(). */
    void show(FrameClassifier.Answer answer, long nowMs) {
        if (answer.count == 0) {
            return;
        }
        if (answer.labels[0] != bestLabel || answer.sure != bestSure) {
            bestLabel = answer.labels[0];
            bestSure = answer.sure;
            String name = labels.get(bestLabel);
            best.setLabel(bestSure ? name : getResources().getString(R.string.not_sure_guess, name), bestSure);
        }
        best.setScore(answer.scores[0]);
        for (int place = 1; place < answer.count; place++) {
            ScoreRow row = (ScoreRow) rows.getChildAt(place - 1);
            row.setLabel(labels.get(answer.labels[place]), true);
            row.setScore(answer.scores[place]);
        }
        announce(nowMs);
    }

    void setDelegate(String name) {
        delegate.setText(name);
    }

    /** Milliseconds a picture, and frames a second or null where there is only one picture. */
    void setTimes(String milliseconds, String perSecond) {
        time.setText(getResources().getString(R.string.chip_milliseconds, milliseconds));
        rate.setVisibility(perSecond == null ? GONE : VISIBLE);
        if (perSecond == null) {
            chips.setContentDescription(getResources().getString(
                    R.string.chips_description_image, delegate.getText(), milliseconds));
        } else {
            rate.setText(getResources().getString(R.string.chip_rate, perSecond));
            chips.setContentDescription(getResources().getString(
                    R.string.chips_description, delegate.getText(), milliseconds, perSecond));
        }
    }

    private boolean isLandscape() {
        return getResources().getConfiguration().orientation == Configuration.ORIENTATION_LANDSCAPE;
    }

    private void showRows(boolean landscape) {
        int others = labels == null ? 0 : labels.size() - 1;
        int wanted = Math.min(others, landscape ? MAX_ROWS_LANDSCAPE : MAX_ROWS);
        for (int row = 0; row < MAX_ROWS; row++) {
            rows.getChildAt(row).setVisibility(row < wanted ? VISIBLE : GONE);
        }
    }

    private void announce(long nowMs) {
        if (!best.label().equals(announced) && nowMs - announcedAt >= QUIET_MS) {
            announced = best.label();
            announcedAt = nowMs;
            best.setContentDescription(best.description());
        }
    }
}
