package ai.edgekit.demo;

import android.content.Context;
import android.graphics.Canvas;
import android.graphics.Paint;
import android.graphics.Path;
import android.view.View;

/** Frames a second over time as a line above zero. */
final class RateChart extends View {
    private final Paint line = new Paint(Paint.ANTI_ALIAS_FLAG);
    private final Paint ground = new Paint(Paint.ANTI_ALIAS_FLAG);
    private final Path path = new Path();
    private final double[] rates;

    RateChart(Context context, double[] rates) {
        super(context);
        this.rates = rates;
        float density = getResources().getDisplayMetrics().density;
        line.setStyle(Paint.Style.STROKE);
        line.setStrokeWidth(3 * density);
        line.setStrokeJoin(Paint.Join.ROUND);
        line.setStrokeCap(Paint.Cap.ROUND);
        line.setColor(context.getColor(R.color.accent));
        ground.setStrokeWidth(density);
        ground.setColor(context.getColor(R.color.outline));
        setContentDescription(context.getString(R.string.self_test_chart,
                Texts.figure(rates[0]), Texts.figure(rates[rates.length - 1])));
    }

    @Override
    protected void onDraw(Canvas canvas) {
        float margin = line.getStrokeWidth();
        float bottom = getHeight() - margin;
        canvas.drawLine(0, bottom, getWidth(), bottom, ground);
        double most = 1e-9;
        for (double rate : rates) {
            most = Math.max(most, rate);
        }
        path.rewind();
        for (int i = 0; i < rates.length; i++) {
            float x = margin + (getWidth() - 2 * margin) * i / Math.max(1, rates.length - 1);
            float y = bottom - (float) (rates[i] / most) * (bottom - 2 * margin);
            if (i == 0) {
                path.moveTo(x, y);
            } else {
                path.lineTo(x, y);
            }
        }
        canvas.drawPath(path, line);
    }
}
