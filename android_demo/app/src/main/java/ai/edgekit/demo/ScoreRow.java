package ai.edgekit.demo;

import android.content.Context;
import android.content.res.TypedArray;
import android.graphics.Canvas;
import android.graphics.Paint;
import android.graphics.Typeface;
import android.text.TextPaint;
import android.text.TextUtils;
import android.util.AttributeSet;
import android.view.View;
import android.view.accessibility.AccessibilityNodeInfo;

import java.text.NumberFormat;
import java.util.Arrays;
import java.util.Locale;

/** A label, its score as a bar and in per cent. Drawing a new score allocates nothing; a new label does, once. */
public final class ScoreRow extends View {
    private static final String[] PERCENT = new String[101];
    private static Locale percentLocale;

    private final TextPaint labelPaint = new TextPaint(Paint.ANTI_ALIAS_FLAG);
    private final TextPaint scorePaint = new TextPaint(Paint.ANTI_ALIAS_FLAG);
    private final Paint track = new Paint(Paint.ANTI_ALIAS_FLAG);
    private final Paint bar = new Paint(Paint.ANTI_ALIAS_FLAG);
    private final float barHeight;
    private final float gap;
    private final float scoreWidth;

    private String label = "";
    private String shownLabel = "";
    private float score;
    private boolean sure = true;

    public ScoreRow(Context context, AttributeSet attributes) {
        super(context, attributes);
        float density = getResources().getDisplayMetrics().density;
        TypedArray values = context.obtainStyledAttributes(attributes, R.styleable.ScoreRow);
        float size = values.getDimension(R.styleable.ScoreRow_labelSize, 15 * density);
        barHeight = values.getDimension(R.styleable.ScoreRow_barHeight, 5 * density);
        boolean bold = values.getBoolean(R.styleable.ScoreRow_bold, false);
        values.recycle();
        gap = (bold ? 8 : 5) * density;
        Typeface medium = Typeface.create("sans-serif-medium", Typeface.NORMAL);
        labelPaint.setTextSize(size);
        labelPaint.setTypeface(bold ? medium : Typeface.DEFAULT);
        scorePaint.setTextSize(bold ? size * 0.72f : size);
        scorePaint.setTypeface(bold ? medium : Typeface.DEFAULT);
        scorePaint.setFontFeatureSettings("tnum");
        labelPaint.setColor(context.getColor(R.color.text));
        scorePaint.setColor(context.getColor(bold ? R.color.text : R.color.text_secondary));
        track.setColor(context.getColor(R.color.track));
        bar.setColor(context.getColor(bold ? R.color.accent : R.color.text_secondary));
        scoreWidth = scorePaint.measureText(percent(1));
        setImportantForAccessibility(IMPORTANT_FOR_ACCESSIBILITY_YES); // a view that only draws is not by itself
    }

    /** Shows a label; `sure` is false where it only stands for an uncertain guess. */
    void setLabel(String newLabel, boolean isSure) {
        if (newLabel.equals(label) && isSure == sure) {
            return;
        }
        label = newLabel;
        sure = isSure;
        labelPaint.setColor(getContext().getColor(sure ? R.color.text : R.color.text_secondary));
        shorten();
        invalidate();
    }

    /** Shows a score, 0 to 1. */
    void setScore(float newScore) {
        if (newScore != score) {
            score = newScore;
            invalidate();
        }
    }

    String label() {
        return label;
    }

    float score() {
        return score;
    }

    /** The score as the row shows it. */
    static String percent(float score) {
        int whole = Math.max(0, Math.min(100, Math.round(score * 100)));
        Locale locale = Locale.getDefault();
        if (!locale.equals(percentLocale)) { // the user changes it while the app lives on
            Arrays.fill(PERCENT, null);
            percentLocale = locale;
        }
        if (PERCENT[whole] == null) {
            PERCENT[whole] = NumberFormat.getPercentInstance().format(whole / 100.0);
        }
        return PERCENT[whole];
    }

    /** What a screen reader says now, rather than when the label last changed. */
    @Override
    public void onInitializeAccessibilityNodeInfo(AccessibilityNodeInfo info) {
        super.onInitializeAccessibilityNodeInfo(info);
        info.setContentDescription(description());
    }

    String description() {
        return getResources().getString(R.string.score_description, label, percent(score));
    }

    @Override
    protected void onMeasure(int widthSpec, int heightSpec) {
        float height = labelPaint.descent() - labelPaint.ascent() + gap + barHeight;
        setMeasuredDimension(getDefaultSize(getSuggestedMinimumWidth(), widthSpec),
                resolveSize((int) Math.ceil(height) + getPaddingTop() + getPaddingBottom(), heightSpec));
    }

    @Override
    protected void onSizeChanged(int width, int height, int oldWidth, int oldHeight) {
        super.onSizeChanged(width, height, oldWidth, oldHeight);
        shorten();
    }

    @Override
    protected void onDraw(Canvas canvas) {
        boolean rtl = getLayoutDirection() == LAYOUT_DIRECTION_RTL;
        float left = getPaddingLeft();
        float right = getWidth() - getPaddingRight();
        float baseline = getPaddingTop() - labelPaint.ascent();
        labelPaint.setTextAlign(rtl ? Paint.Align.RIGHT : Paint.Align.LEFT);
        scorePaint.setTextAlign(rtl ? Paint.Align.LEFT : Paint.Align.RIGHT);
        canvas.drawText(shownLabel, rtl ? right : left, baseline, labelPaint);
        if (!label.isEmpty()) {
            canvas.drawText(percent(score), rtl ? left : right, baseline, scorePaint);
        }

        float top = baseline + labelPaint.descent() + gap;
        float radius = barHeight / 2;
        canvas.drawRoundRect(left, top, right, top + barHeight, radius, radius, track);
        float length = Math.max(0, Math.min(1, score)) * (right - left);
        if (length > 0) {
            float from = rtl ? right - Math.max(length, barHeight) : left;
            float to = rtl ? right : left + Math.max(length, barHeight);
            canvas.drawRoundRect(from, top, to, top + barHeight, radius, radius, bar);
        }
    }

    private void shorten() {
        float room = getWidth() - getPaddingLeft() - getPaddingRight() - scoreWidth - gap;
        shownLabel = room <= 0 ? "" : TextUtils.ellipsize(label, labelPaint, room, TextUtils.TruncateAt.END).toString();
    }
}
